// Makes a component of a bundle by StarlingMonkey: node kit/starlingmonkey.js BUNDLE WORLD OUTPUT

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [bundle, world, output] = process.argv.slice(2);
// Requests to other servers are the gateway's capability `http`.
const disableFeatures = ["http", "fetch-event"];
const { component } = await componentize({ sourcePath: bundle, witPath: "kit/wit", worldName: world, disableFeatures });
await writeFile(output, component);

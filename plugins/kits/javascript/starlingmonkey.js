// Makes a component of a bundle by StarlingMonkey: node kit/starlingmonkey.js BUNDLE WORLD OUTPUT [fetch]

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [bundle, world, output, fetch] = process.argv.slice(2);
// With `fetch`, requests to other servers are possible: the gateway asks its operator for the capability `http` then.
const disableFeatures = fetch === "fetch" ? ["fetch-event"] : ["http", "fetch-event"];
const { component } = await componentize({ sourcePath: bundle, witPath: "kit/wit", worldName: world, disableFeatures });
await writeFile(output, component);

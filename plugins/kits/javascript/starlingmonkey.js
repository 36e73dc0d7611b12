// Makes a component of a bundle by StarlingMonkey: node kit/starlingmonkey.js BUNDLE WORLD OUTPUT

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [bundle, world, output] = process.argv.slice(2);
// What a fresh instance of each exchange cannot use: time and random bytes come from the gateway, output goes to its log.
const disableFeatures = ["stdio", "random", "clocks", "http", "fetch-event"];
const { component } = await componentize({ sourcePath: bundle, witPath: "kit/wit", worldName: world, disableFeatures });
await writeFile(output, component);

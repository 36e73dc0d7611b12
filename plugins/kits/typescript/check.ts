// Lets the compiler check that the author's module has what plugin.toml lists, and that its types are right.

import type { Plugin } from "./index.js";
import * as author from "../src/plugin";

author satisfies Plugin<[{{exports}}][number]>;

// Reads a Bitstring Status List with a library that is not ours: { "encodedList": "u…", "indexes": [...] } -> [bool].
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/package.json`);
const { decodeList } = require("@digitalcredentials/vc-bitstring-status-list");

const { encodedList, indexes } = JSON.parse(readFileSync(0, "utf8"));
const list = await decodeList({ encodedList });
process.stdout.write(JSON.stringify({ length: list.length, set: indexes.map((index) => list.getStatus(index)) }));

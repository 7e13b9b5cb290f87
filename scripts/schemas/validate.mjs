// Validates custom resources with validators that were compiled from the CRDs of their projects.
//
//   node validate.mjs FOLDER < OBJECTS
//
// FOLDER holds node_modules. On standard input comes a JSON array of objects; on standard output goes a JSON array with a list of
// problems for each. The validators themselves ignore fields that they do not know, and so would an API server, if it is not told to be
// strict: here such a field is a problem. A field is known if the validator looked for it.

import { readdirSync, existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const packages = join(resolve(process.argv[2]), "node_modules", "@kubernetes-models");

// `networking.istio.io/v1` and `ServiceEntry` become `NetworkingIstioIoV1ServiceEntry`, with the group's labels in either order.
function names({ apiVersion, kind }) {
  const [group, version] = String(apiVersion).split("/");
  const labels = group.split(".");
  const camel = (words) => words.map((word) => word[0].toUpperCase() + word.slice(1)).join("");
  const end = camel([version ?? "", kind].filter(Boolean));
  return new Set([labels, [...labels].reverse()].map((words) => camel(words.flatMap((word) => word.split("-"))) + end));
}

const files = new Map();
for (const name of readdirSync(packages)) {
  const folder = join(packages, name, "_schemas");
  if (!existsSync(folder)) continue;
  for (const file of readdirSync(folder)) if (file.endsWith(".js")) files.set(file.slice(0, -3).toLowerCase(), join(folder, file));
}

function file(object) {
  for (const name of names(object)) {
    const found = files.get(name.toLowerCase());
    if (found) return found;
  }
  // Go packages name some of them: `ComGithubEnvoyproxyGatewayApiV1alpha1SecurityPolicy`.
  const [group, version] = String(object.apiVersion).split("/");
  const ends = (version + object.kind).toLowerCase();
  const words = { "gateway.envoyproxy.io": "envoyproxy", "gateway.networking.k8s.io": "gatewayapi", "monitoring.coreos.com": "prometheusoperator" };
  const word = words[group];
  const found = word && [...files.keys()].filter((name) => name.includes(word) && name.endsWith(ends)).sort((a, b) => a.length - b.length)[0];
  return found && files.get(found);
}

// Shows an object to a validator and remembers which of its fields the validator looked for.
function watched(value, path, unknown) {
  if (value === null || typeof value !== "object") return value;
  const asked = new Set();
  let isEnumerated = false;
  const shown = new Map();
  const isList = Array.isArray(value);
  unknown.push(() => {
    // A list has no fields of its own, and into what may hold anything nobody looks.
    if (isList || isEnumerated || asked.size === 0) return [];
    return Object.keys(value)
      .filter((key) => !asked.has(key))
      .map((key) => `${path}/${key}: there is no such field`);
  });
  return new Proxy(value, {
    get(target, key) {
      if (typeof key === "symbol" || (isList && !/^\d+$/.test(key))) return Reflect.get(target, key);
      asked.add(key);
      if (!Object.hasOwn(target, key)) return undefined;
      if (!shown.has(key)) shown.set(key, watched(target[key], `${path}/${key}`, unknown));
      return shown.get(key);
    },
    has(target, key) {
      asked.add(key);
      return Object.hasOwn(target, key);
    },
    ownKeys(target) {
      isEnumerated = true;
      return Reflect.ownKeys(target);
    },
  });
}

async function problems(object) {
  const found = file(object);
  if (!found) return [`there is no schema for ${object.kind} of ${object.apiVersion}`];
  const { validate } = await import(pathToFileURL(found));
  const unknown = [];
  const isValid = validate(watched(object, "", unknown));
  const wrong = isValid ? [] : validate.errors.map((error) => `${error.instancePath}: ${error.keyword} ${JSON.stringify(error.params)}`);
  return [...wrong, ...unknown.flatMap((fields) => fields())];
}

let input = "";
for await (const chunk of process.stdin) input += chunk;
const answers = [];
for (const object of JSON.parse(input)) answers.push(await problems(object));
process.stdout.write(JSON.stringify(answers));

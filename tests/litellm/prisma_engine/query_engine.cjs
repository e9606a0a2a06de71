#!/usr/bin/env node
// Prisma's query engine as a process, for Prisma Client Python, where its binary is not at hand:
// the WebAssembly build of it in the npm package @prisma/client, behind the HTTP interface of the
// binary. LiteLLM's proxy stores everything through it.
//
// The binary takes GraphQL; the WebAssembly build takes Prisma's JSON protocol only, so each
// query is translated. What is not needed for that is not here: metrics are empty.
"use strict";

if (process.argv.includes("--version")) {
  console.log("query-engine", require("@prisma/client/package.json").version);
  process.exit(0);
}

const fs = require("node:fs");
const http = require("node:http");
const { Pool } = require("pg");
const Result = require("pg/lib/result");
const { parse } = require("graphql");
const { PrismaPg } = require("@prisma/adapter-pg");
const { bindAdapter } = require("@prisma/driver-adapter-utils");
const engineModule = require("@prisma/client/runtime/query_engine_bg.postgresql.js");

const datamodel = fs.readFileSync(process.env.PRISMA_DML_PATH, "utf8");
const NO_TRACE = "{}";
const ACTIONS = [
  ...["findUnique", "findFirst", "findMany", "createMany", "createOne", "updateMany"],
  ...["updateOne", "deleteMany", "deleteOne", "upsertOne", "aggregate", "groupBy"],
];

// Columns of the type `name`, as of PostgreSQL's own tables, are texts to the adapter.
const TEXT_TYPES = { 19: 25, 1003: 1009 };
const addFields = Result.prototype.addFields;
Result.prototype.addFields = function (fields) {
  for (const field of fields) {
    field.dataTypeID = TEXT_TYPES[field.dataTypeID] ?? field.dataTypeID;
  }
  return addFields.call(this, fields);
};

async function startEngine() {
  const file = require.resolve("@prisma/client/runtime/query_engine_bg.postgresql.wasm");
  const imports = { "./query_engine_bg.js": engineModule };
  const { instance } = await WebAssembly.instantiate(fs.readFileSync(file), imports);
  engineModule.__wbg_set_wasm(instance.exports);
  const sources = JSON.parse(process.env.OVERWRITE_DATASOURCES || "[]");
  const url = new URL(sources[0]?.url || process.env.DATABASE_URL);
  url.search = ""; // settings of Prisma's own connections
  const pool = new Pool({ connectionString: url.href });
  const options = {
    datamodel,
    logLevel: "error",
    logQueries: false,
    datasourceOverrides: {},
    env: { DATABASE_URL: url.href },
    configDir: ".",
    ignoreEnvVarErrors: true,
    engineProtocol: "json",
  };
  const adapter = bindAdapter(new PrismaPg(pool));
  const engine = new engineModule.QueryEngine(options, (line) => console.error(line), adapter);
  await engine.connect(NO_TRACE);
  return engine;
}

// --- GraphQL to the JSON protocol ---------------------------------------------------------

// The type of each field, by model: GraphQL has JSON values as texts, which the JSON protocol
// would store as texts.
const fieldTypes = {};
for (const [, model, fields] of datamodel.matchAll(/^model (\w+) \{$([^]*?)^\}/gm)) {
  const types = [...fields.matchAll(/^ +(\w+) +(\w+)/gm)];
  fieldTypes[model] = Object.fromEntries(types.map(([, name, type]) => [name, type]));
}
const JSON_OPERATORS = ["set", "equals", "not", "array_contains"];

function markJson(value) {
  if (typeof value === "string") return { $type: "Json", value };
  if (Array.isArray(value)) return value.map(markJson);
  if (value === null) return null;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      JSON_OPERATORS.includes(name) ? markJson(item) : item,
    ]),
  );
}

function markJsonFields(value, model) {
  if (Array.isArray(value)) return value.map((item) => markJsonFields(item, model));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => {
      const type = fieldTypes[model]?.[name];
      if (type === "Json") return [name, markJson(item)];
      return [name, markJsonFields(item, type in fieldTypes ? type : model)];
    }),
  );
}

function valueOf(node) {
  switch (node.kind) {
    case "IntValue":
    case "FloatValue":
      return Number(node.value);
    case "NullValue":
      return null;
    case "ListValue":
      return node.values.map(valueOf);
    case "ObjectValue":
      return argumentsOf(node.fields);
    default: // texts, booleans and enumerations
      return node.value;
  }
}

function argumentsOf(nodes) {
  return Object.fromEntries((nodes || []).map((node) => [node.name.value, valueOf(node.value)]));
}

function selectionOf(field) {
  const chosen = field.selectionSet?.selections ?? [];
  return {
    arguments: argumentsOf(field.arguments),
    selection: Object.fromEntries(
      chosen.map((inner) => [
        inner.name.value,
        inner.selectionSet || inner.arguments?.length ? selectionOf(inner) : true,
      ]),
    ),
  };
}

function toJsonProtocol(graphql) {
  const field = parse(graphql).definitions[0].selectionSet.selections[0];
  const query = selectionOf(field);
  const name = field.name.value;
  if (name === "queryRaw" || name === "executeRaw") return { action: name, query };
  const start = ACTIONS.find((each) => name.startsWith(each));
  if (start === undefined) throw new Error(`unknown operation ${name}`);
  const end = start.startsWith("find") && name.endsWith("OrThrow") ? "OrThrow" : "";
  const modelName = name.slice(start.length, name.length - end.length);
  query.arguments = markJsonFields(query.arguments, modelName);
  return { modelName, action: start + end, query };
}

// The JSON protocol marks what JSON has no type for; the binary's answers have plain values.
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  if (value.$type === "BigInt") return Number(value.value);
  if (value.$type !== undefined) return value.value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]));
}

// Rows of a query in SQL, each value with its type, as Prisma Client Python 0.11 expects them.
function typedRows({ columns, types, rows }) {
  const typed = (value, type) => {
    if (value === null || !type.endsWith("-array")) {
      return { prisma__type: value === null ? "null" : type, prisma__value: value };
    }
    const items = value.map((item) => typed(item, type.slice(0, -"-array".length)));
    return { prisma__type: "array", prisma__value: items };
  };
  return rows.map((row) =>
    Object.fromEntries(columns.map((name, i) => [name, typed(row[i], types[i])])),
  );
}

function answerOf(result) {
  if (result.errors) return { errors: result.errors };
  const [value] = Object.values(result.data);
  return { data: { result: value?.columns && value.rows ? typedRows(value) : plain(value) } };
}

// --- the interface of the binary ----------------------------------------------------------

async function answer(engine, request, body) {
  const [path] = request.url.split("?");
  const [, kind, id, action] = path.split("/");
  if (path === "/status") return { status: "ok" };
  if (path === "/metrics") return { counters: [], gauges: [], histograms: [] };
  if (kind === "transaction") {
    if (id === "start") return JSON.parse(await engine.startTransaction(body, NO_TRACE));
    const end = action === "commit" ? "commitTransaction" : "rollbackTransaction";
    return JSON.parse(await engine[end](id, NO_TRACE));
  }
  const query = JSON.parse(body);
  const transaction = request.headers["x-transaction-id"];
  const ask = async (question) =>
    JSON.parse(await engine.query(JSON.stringify(question), NO_TRACE, transaction));
  if (query.batch === undefined) return answerOf(await ask(toJsonProtocol(query.query)));
  const batch = query.batch.map((item) => toJsonProtocol(item.query));
  const result = await ask({ batch, transaction: query.transaction ? {} : undefined });
  return result.errors ? result : { batchResult: result.batchResult.map(answerOf) };
}

function errorOf(error) {
  const text = String(error?.message ?? error);
  try {
    const { message, error_code: code, ...rest } = JSON.parse(text);
    return { errors: [{ error: message, user_facing_error: { message, error_code: code, ...rest } }] };
  } catch {
    return { errors: [{ error: text, user_facing_error: { message: text, is_panic: false } }] };
  }
}

async function main() {
  const engine = await startEngine();
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", async () => {
      const body = Buffer.concat(parts).toString();
      const result = await answer(engine, request, body).catch(errorOf);
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(result));
    });
  });
  server.listen(Number(process.argv[process.argv.indexOf("-p") + 1]), "localhost");
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

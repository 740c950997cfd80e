// Generated from ts/ by `npm run build:ts`. Do not edit.
"use strict";
var __defProp = Object.defineProperty;
var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __hasOwnProp = Object.prototype.hasOwnProperty;
var __export = (target, all2) => {
  for (var name in all2)
    __defProp(target, name, { get: all2[name], enumerable: true });
};
var __copyProps = (to, from, except, desc) => {
  if (from && typeof from === "object" || typeof from === "function") {
    for (let key of __getOwnPropNames(from))
      if (!__hasOwnProp.call(to, key) && key !== except)
        __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
  }
  return to;
};
var __toCommonJS = (mod) => __copyProps(__defProp({}, "__esModule", { value: true }), mod);

// ts/index.ts
var index_exports = {};
__export(index_exports, {
  AlreadyExistsError: () => AlreadyExistsError,
  AlreadyExpiredError: () => AlreadyExpiredError,
  ClosedError: () => ClosedError,
  ConcurrencyError: () => ConcurrencyError,
  ConnectionError: () => ConnectionError,
  CorruptDataError: () => CorruptDataError,
  DynamoDBSagaStore: () => DynamoDBSagaStore,
  InvalidArgumentError: () => InvalidArgumentError,
  InvalidStateError: () => InvalidStateError,
  LeaseLostError: () => LeaseLostError,
  MemorySagaStore: () => MemorySagaStore,
  MigratingStates: () => MigratingStates,
  MigratingStore: () => MigratingStore,
  MongoSagaStore: () => MongoSagaStore,
  NotFoundError: () => NotFoundError,
  OutboxRelay: () => OutboxRelay,
  OutboxSubscription: () => OutboxSubscription,
  PayloadTooLargeError: () => PayloadTooLargeError,
  PostgresSagaStore: () => PostgresSagaStore,
  RedisSagaStore: () => RedisSagaStore,
  SagaExecutions: () => SagaExecutions,
  SagaInbox: () => SagaInbox,
  SagaInboxEntries: () => SagaInboxEntries,
  SagaOutbox: () => SagaOutbox,
  SagaRun: () => SagaRun,
  SagaStates: () => SagaStates,
  SagaStatesOf: () => SagaStatesOf,
  SagaStore: () => SagaStore,
  SagaStoreError: () => SagaStoreError,
  SagaTransaction: () => SagaTransaction,
  SerializationError: () => SerializationError,
  SqliteSagaStore: () => SqliteSagaStore,
  TimeoutError: () => TimeoutError,
  Transfer: () => Transfer,
  TransferError: () => TransferError,
  UnsupportedError: () => UnsupportedError,
  cqrsSagaStorage: () => cqrsSagaStorage,
  exportToFile: () => exportToFile,
  idempotencyStore: () => idempotencyStore,
  importFromFile: () => importFromFile,
  migrating: () => migrating,
  openStore: () => openStore,
  outboxEventBusOutbox: () => outboxEventBusOutbox,
  sagaBusStore: () => sagaBusStore,
  sagazOutbox: () => sagazOutbox,
  sagazStorage: () => sagazStorage,
  transfer: () => transfer,
  verify: () => verify,
  withTransaction: () => withTransaction
});
module.exports = __toCommonJS(index_exports);

// ts/errors.ts
var SagaStoreError = class extends Error {
  /** @internal The store makes them. */
  constructor(failure) {
    const cause = failure.cause ?? chain(failure.causes);
    super(describe(failure), cause === void 0 ? void 0 : { cause });
    Object.defineProperty(this, "name", { value: new.target.name, configurable: true, enumerable: true, writable: true });
    this.code = failure.code;
    if (failure.backend !== void 0) this.backend = failure.backend;
    if (failure.operation !== void 0) this.operation = failure.operation;
    if (failure.id !== void 0) this.id = failure.id;
    this.retryable = failure.retryable;
    Object.assign(this, failure.details);
  }
};
var NotFoundError = class extends SagaStoreError {
};
var AlreadyExistsError = class extends SagaStoreError {
};
var ConcurrencyError = class extends SagaStoreError {
};
var SerializationError = class extends SagaStoreError {
};
var PayloadTooLargeError = class extends SagaStoreError {
};
var AlreadyExpiredError = class extends SagaStoreError {
};
var InvalidArgumentError = class extends SagaStoreError {
};
var ConnectionError = class extends SagaStoreError {
};
var TimeoutError = class extends SagaStoreError {
};
var CorruptDataError = class extends SagaStoreError {
};
var UnsupportedError = class extends SagaStoreError {
};
var LeaseLostError = class extends SagaStoreError {
};
var InvalidStateError = class extends SagaStoreError {
};
var ClosedError = class extends SagaStoreError {
};
var TransferError = class extends SagaStoreError {
};
var classes = {
  NOT_FOUND: NotFoundError,
  ALREADY_EXISTS: AlreadyExistsError,
  CONCURRENCY_CONFLICT: ConcurrencyError,
  SERIALIZATION: SerializationError,
  PAYLOAD_TOO_LARGE: PayloadTooLargeError,
  ALREADY_EXPIRED: AlreadyExpiredError,
  INVALID_ARGUMENT: InvalidArgumentError,
  CONNECTION: ConnectionError,
  TIMEOUT: TimeoutError,
  CORRUPT_DATA: CorruptDataError,
  UNSUPPORTED: UnsupportedError,
  LEASE_LOST: LeaseLostError,
  INVALID_STATE: InvalidStateError,
  CLOSED: ClosedError,
  TRANSFER: TransferError
};
function describe(failure) {
  const where = [failure.backend, failure.operation].filter((part) => part !== void 0).join(" ");
  const which = failure.id === void 0 ? "" : ` '${failure.id.length > 80 ? `${failure.id.slice(0, 80)}\u2026` : failure.id}'`;
  return where === "" ? failure.message : `${where}${which}: ${failure.message}`;
}
function chain(causes) {
  return causes.reduceRight((cause, message) => new Error(message, { cause }), void 0);
}
function toError(reason) {
  if (typeof reason !== "object" || reason === null || !("code" in reason) || !("causes" in reason)) return reason;
  const failure = reason;
  return new (classes[failure.code] ?? SagaStoreError)(failure);
}
function raise(reason) {
  throw toError(reason);
}
function failureOf(code, message, more = {}) {
  return { code, message, retryable: false, causes: [], details: {}, ...more };
}
function errorOf(code, message, more) {
  return new (classes[code] ?? SagaStoreError)(failureOf(code, message, more));
}
function invalidArgument(message, operation, backend, cause) {
  return errorOf("INVALID_ARGUMENT", message, { operation, backend, cause });
}

// ts/kinds/cqrs-saga-storage.ts
var import_node_crypto = require("node:crypto");

// ts/arguments.ts
var import_types = require("node:util/types");
function listed(values) {
  if (typeof values === "string" || typeof values?.[Symbol.iterator] !== "function") throw new TypeError("it is no iterable");
  return Array.from(values);
}
function taken(args) {
  return args.map((argument) => isList(argument) ? argument.map(takenDate) : takenDate(argument));
}
function isList(value) {
  return !(0, import_types.isProxy)(value) && Array.isArray(value);
}
function takenDate(value) {
  return (0, import_types.isDate)(value) ? new Date(Date.prototype.getTime.call(value)) : value;
}
function idOf({ by }, [first]) {
  const id = by === "id" ? first : by === "id_in_list" ? first[0] : by === "name_and_id" || by === "name_and_other_id" ? first[1] : void 0;
  return typeof id === "string" ? id : void 0;
}
function writtenBy({ writes, by }, [first]) {
  if (!writes) return void 0;
  switch (by) {
    case "id":
      return [first];
    case "ids":
      return first;
    case "id_in_list": {
      const [id] = first;
      return typeof id === "string" ? [`\0${id}`] : void 0;
    }
    case "name_and_id": {
      const [name, id] = first;
      return typeof name === "string" && typeof id === "string" ? [`${name}\0${id}`] : void 0;
    }
    default:
      return void 0;
  }
}
var NONE = Object.freeze(/* @__PURE__ */ Object.create(null));
function optionsOf(given, accepted, operation, backend) {
  if (given === void 0) return NONE;
  const invalid3 = (what, cause) => invalidArgument(`${what}; accepted: ${Object.keys(accepted).join(", ")}`, operation, backend, cause);
  const taken2 = /* @__PURE__ */ Object.create(null);
  try {
    if (!isRecord(given)) throw invalid3("options are an object");
    for (const name of Object.keys(given)) {
      const value = given[name];
      if (value === void 0) continue;
      if (!Object.hasOwn(accepted, name)) throw invalid3(`unknown option '${name}'`);
      if (typeof value === "bigint") throw invalid3(`option '${name}' is a bigint`);
      taken2[name] = value;
    }
  } catch (error) {
    throw error instanceof SagaStoreError ? error : invalid3("the options cannot be read", error);
  }
  return taken2;
}
function presentOptions(given, accepted, operation, backend, nullable) {
  const taken2 = optionsOf(given, accepted, operation, backend);
  for (const [name, value] of Object.entries(taken2)) {
    if (value !== null || nullable?.has(name) === true) continue;
    throw invalidArgument(`option '${name}' must not be null`, operation, backend);
  }
  return taken2;
}
function isRecord(value) {
  return typeof value === "object" && value !== null && !(0, import_types.isDate)(value) && !(Symbol.iterator in value);
}
function mostOf({ limit = Number.POSITIVE_INFINITY }, operation, backend) {
  if (limit === Number.POSITIVE_INFINITY || Number.isSafeInteger(limit) && limit > 0) return limit;
  throw invalidArgument("limit must be a whole number above 0", operation, backend);
}
var MAX_LISTED = 1e3;
function pageLimitOf({ limit = 100 }, operation, backend) {
  if (Number.isSafeInteger(limit) && limit > 0 && limit <= MAX_LISTED) return limit;
  throw invalidArgument(`limit must be a whole number from 1 to ${MAX_LISTED}`, operation, backend);
}

// ts/operations.ts
var OPERATIONS = {
  put: { number: 0, name: "put", kind: "payloads", writes: true, by: "id" },
  get: { number: 1, name: "get", kind: "payloads", writes: false, by: "id" },
  find: { number: 2, name: "find", kind: "payloads", writes: false, by: "id" },
  has: { number: 3, name: "has", kind: "payloads", writes: false, by: "id" },
  delete: { number: 4, name: "delete", kind: "payloads", writes: true, by: "id" },
  touch: { number: 5, name: "touch", kind: "payloads", writes: true, by: "id" },
  putMany: { number: 6, name: "putMany", kind: "payloads", writes: true, by: "ids" },
  getMany: { number: 7, name: "getMany", kind: "payloads", writes: false, by: "ids" },
  "states.getById": { number: 8, name: "states.getById", kind: "states", writes: false, by: "name_and_id" },
  "states.getByCorrelationId": { number: 9, name: "states.getByCorrelationId", kind: "states", writes: false, by: "name_and_other_id" },
  "states.insert": { number: 10, name: "states.insert", kind: "states", writes: true, by: "name_and_id" },
  "states.update": { number: 11, name: "states.update", kind: "states", writes: true, by: "name_and_id" },
  "states.delete": { number: 12, name: "states.delete", kind: "states", writes: true, by: "name_and_id" },
  "states.deleteByCorrelationId": {
    number: 13,
    name: "states.deleteByCorrelationId",
    kind: "states",
    writes: true,
    by: "name_and_other_id"
  },
  "states.findByName": { number: 14, name: "states.findByName", kind: "states", writes: false, by: null },
  "states.countByName": { number: 15, name: "states.countByName", kind: "states", writes: false, by: null },
  "states.deleteCompletedBefore": { number: 16, name: "states.deleteCompletedBefore", kind: "states", writes: true, by: null },
  "states.findTimedOut": { number: 17, name: "states.findTimedOut", kind: "states", writes: false, by: null },
  "states.claimTimedOut": { number: 18, name: "states.claimTimedOut", kind: "states", writes: true, by: null },
  "states.names": { number: 19, name: "states.names", kind: "states", writes: false, by: null },
  "states.findStale": { number: 20, name: "states.findStale", kind: "states", writes: false, by: null },
  "executions.create": { number: 21, name: "executions.create", kind: "executions", writes: true, by: "id_in_list" },
  "executions.start": { number: 22, name: "executions.start", kind: "executions", writes: true, by: "id_in_list" },
  "executions.load": { number: 23, name: "executions.load", kind: "executions", writes: false, by: "id_in_list" },
  "executions.find": { number: 24, name: "executions.find", kind: "executions", writes: false, by: "id_in_list" },
  "executions.checkpoint": { number: 25, name: "executions.checkpoint", kind: "executions", writes: true, by: "id_in_list" },
  "executions.updateContext": { number: 26, name: "executions.updateContext", kind: "executions", writes: true, by: "id_in_list" },
  "executions.updateStatus": { number: 27, name: "executions.updateStatus", kind: "executions", writes: true, by: "id_in_list" },
  "executions.logStep": { number: 28, name: "executions.logStep", kind: "executions", writes: true, by: "id_in_list" },
  "executions.updateStep": { number: 29, name: "executions.updateStep", kind: "executions", writes: true, by: "id_in_list" },
  "executions.complete": { number: 30, name: "executions.complete", kind: "executions", writes: true, by: "id_in_list" },
  "executions.compensated": { number: 31, name: "executions.compensated", kind: "executions", writes: true, by: "id_in_list" },
  "executions.fail": { number: 32, name: "executions.fail", kind: "executions", writes: true, by: "id_in_list" },
  "executions.waitUntil": { number: 33, name: "executions.waitUntil", kind: "executions", writes: true, by: "id_in_list" },
  "executions.release": { number: 34, name: "executions.release", kind: "executions", writes: true, by: "id_in_list" },
  "executions.incrementRecoveryAttempts": {
    number: 35,
    name: "executions.incrementRecoveryAttempts",
    kind: "executions",
    writes: true,
    by: "id_in_list"
  },
  "executions.setRecoveryAttempts": {
    number: 36,
    name: "executions.setRecoveryAttempts",
    kind: "executions",
    writes: true,
    by: "id_in_list"
  },
  "executions.history": { number: 37, name: "executions.history", kind: "executions", writes: false, by: "id_in_list" },
  "executions.save": { number: 38, name: "executions.save", kind: "executions", writes: true, by: "id_in_list" },
  "executions.delete": { number: 39, name: "executions.delete", kind: "executions", writes: true, by: "id_in_list" },
  "executions.list": { number: 40, name: "executions.list", kind: "executions", writes: false, by: null },
  "executions.count": { number: 41, name: "executions.count", kind: "executions", writes: false, by: null },
  "executions.statistics": { number: 42, name: "executions.statistics", kind: "executions", writes: false, by: null },
  "executions.cleanup": { number: 43, name: "executions.cleanup", kind: "executions", writes: true, by: null },
  "executions.claim": { number: 44, name: "executions.claim", kind: "executions", writes: true, by: null },
  "executions.heartbeat": { number: 45, name: "executions.heartbeat", kind: "executions", writes: true, by: null },
  "executions.redrive": { number: 46, name: "executions.redrive", kind: "executions", writes: true, by: null },
  "executions.findRecoverable": { number: 47, name: "executions.findRecoverable", kind: "executions", writes: false, by: null },
  "outbox.insert": { number: 48, name: "outbox.insert", kind: "outbox", writes: true, by: null },
  "outbox.get": { number: 49, name: "outbox.get", kind: "outbox", writes: false, by: "id_in_list" },
  "outbox.list": { number: 50, name: "outbox.list", kind: "outbox", writes: false, by: null },
  "outbox.count": { number: 51, name: "outbox.count", kind: "outbox", writes: false, by: null },
  "outbox.claim": { number: 52, name: "outbox.claim", kind: "outbox", writes: true, by: null },
  "outbox.ack": { number: 53, name: "outbox.ack", kind: "outbox", writes: true, by: null },
  "outbox.fail": { number: 54, name: "outbox.fail", kind: "outbox", writes: true, by: null },
  "outbox.release": { number: 55, name: "outbox.release", kind: "outbox", writes: true, by: null },
  "outbox.extend": { number: 56, name: "outbox.extend", kind: "outbox", writes: true, by: null },
  "outbox.updateStatus": { number: 57, name: "outbox.updateStatus", kind: "outbox", writes: true, by: "id_in_list" },
  "outbox.findStuck": { number: 58, name: "outbox.findStuck", kind: "outbox", writes: false, by: null },
  "outbox.releaseStuck": { number: 59, name: "outbox.releaseStuck", kind: "outbox", writes: true, by: null },
  "outbox.requeue": { number: 60, name: "outbox.requeue", kind: "outbox", writes: true, by: null },
  "outbox.discard": { number: 61, name: "outbox.discard", kind: "outbox", writes: true, by: null },
  "outbox.blockedKeys": { number: 62, name: "outbox.blockedKeys", kind: "outbox", writes: false, by: null },
  "outbox.archive": { number: 63, name: "outbox.archive", kind: "outbox", writes: true, by: null },
  "outbox.statistics": { number: 64, name: "outbox.statistics", kind: "outbox", writes: false, by: null },
  "inbox.accept": { number: 65, name: "inbox.accept", kind: "inbox", writes: true, by: "name_and_id" },
  "inbox.has": { number: 66, name: "inbox.has", kind: "inbox", writes: false, by: "name_and_id" },
  "inbox.forget": { number: 67, name: "inbox.forget", kind: "inbox", writes: true, by: "name_and_id" },
  "inbox.cleanup": { number: 68, name: "inbox.cleanup", kind: "inbox", writes: true, by: null },
  scan: { number: 69, name: "scan", kind: "moving", writes: false, by: null },
  fetch: { number: 70, name: "fetch", kind: "moving", writes: false, by: null },
  count: { number: 71, name: "count", kind: "moving", writes: false, by: null },
  list: { number: 72, name: "list", kind: "moving", writes: false, by: null },
  stat: { number: 73, name: "stat", kind: "moving", writes: false, by: "id_in_list" },
  importRecords: { number: 74, name: "importRecords", kind: "moving", writes: true, by: null },
  initialize: { number: 1e3, name: "initialize", kind: "store", writes: true, by: null },
  purgeExpired: { number: 1001, name: "purgeExpired", kind: "store", writes: true, by: null },
  health: { number: 1002, name: "health", kind: "store", writes: false, by: null },
  statistics: { number: 1003, name: "statistics", kind: "store", writes: false, by: null },
  transaction: { number: 1004, name: "transaction", kind: "store", writes: true, by: null },
  "states.reindex": { number: 1005, name: "states.reindex", kind: "store", writes: true, by: null }
};

// ts/kinds/json.ts
var import_types2 = require("node:util/types");
var SURROGATE = new RegExp("\\p{Surrogate}", "u");
function hasSurrogate(text2) {
  return SURROGATE.test(text2);
}
function partOf(value, path = "") {
  try {
    return unserializable(value, path);
  } catch {
    return { path: "", what: "cannot be serialised" };
  }
}
function unserializable(value, path = "", open3 = /* @__PURE__ */ new Set()) {
  const nothing = { path: "", what: "cannot be serialised" };
  if (typeof value === "bigint") return { path, what: "is a BigInt" };
  if (typeof value === "string") {
    if (value.includes("\0")) return { path, what: "contains a NUL character" };
    return hasSurrogate(value) ? { path, what: "contains an unpaired surrogate" } : nothing;
  }
  if (typeof value !== "object" || value === null) return nothing;
  if (open3.has(value)) return { path, what: "contains itself" };
  const { toJSON } = value;
  if (typeof toJSON === "function") {
    try {
      toJSON.call(value, "");
    } catch {
      return { path, what: "has a toJSON that throws" };
    }
  }
  open3.add(value);
  for (const [name, member] of Object.entries(value)) {
    const place = placeOf(path, name, Array.isArray(value));
    const key = unserializable(name);
    if (key.what !== nothing.what) return { path: place, what: `has a name that ${key.what}` };
    const found = unserializable(member, place, open3);
    if (found.path !== "") return found;
  }
  open3.delete(value);
  return nothing;
}
var SIGNS = ["null", "{}", '"type":"Buffer"', '{"0":'];
function mayHaveLost(text2) {
  return SIGNS.some((sign) => text2.includes(sign));
}
function lostIn(value, path) {
  try {
    return lost(value, path);
  } catch {
    return void 0;
  }
}
function lost(value, path) {
  if (typeof value === "number") return Number.isFinite(value) ? void 0 : { path, what: `is ${value}, which JSON keeps as null` };
  if (typeof value !== "object" || value === null) return void 0;
  const what = whatIsLost(value);
  if (what !== void 0) return { path, what };
  const { toJSON } = value;
  if (typeof toJSON === "function") {
    const told = toJSON.call(value, "");
    if (told !== value) return lost(told, path);
  }
  const isList2 = Array.isArray(value);
  for (const [name, member] of Object.entries(value)) {
    const found = lost(member, placeOf(path, name, isList2));
    if (found !== void 0) return found;
  }
  return void 0;
}
function whatIsLost(value) {
  if ((0, import_types2.isMap)(value)) return "is a Map, of which JSON keeps {}: use Object.fromEntries(map)";
  if ((0, import_types2.isSet)(value)) return "is a Set, of which JSON keeps {}: use [...set]";
  if (Buffer.isBuffer(value)) return "is a Buffer, which JSON keeps as an object of numbers: use buffer.toString('base64'), or store.put";
  if (ArrayBuffer.isView(value) || (0, import_types2.isAnyArrayBuffer)(value))
    return "is binary, which JSON keeps as an object of numbers: use base64, or store.put";
  if ((0, import_types2.isDate)(value)) return Number.isNaN(Date.prototype.getTime.call(value)) ? "is an invalid Date, which JSON keeps as null" : void 0;
  if ((0, import_types2.isPromise)(value)) return "is a Promise, of which JSON keeps {}: await it";
  if ((0, import_types2.isRegExp)(value)) return "is a RegExp, of which JSON keeps {}: use its source";
  if ((0, import_types2.isWeakMap)(value) || (0, import_types2.isWeakSet)(value)) return "is a WeakMap or a WeakSet, of which JSON keeps {}";
  const isMute = (0, import_types2.isNativeError)(value) && !("toJSON" in value) && Object.keys(value).length === 0;
  return isMute ? "is an Error, of which JSON keeps {}: use its message" : void 0;
}
function placeOf(path, name, isInList) {
  if (isInList) return `${path}[${name}]`;
  return path === "" ? name : `${path}.${name}`;
}
var Json = class {
  backend;
  constructor(backend) {
    this.backend = backend;
  }
  /** JSON of a value. `path`: what it is, in errors. */
  text(value, path, operation, id) {
    let text2;
    try {
      text2 = JSON.stringify(value);
    } catch (cause) {
      throw this.#unserializable(operation, id, partOf(value, path), cause);
    }
    if (text2 === void 0)
      throw this.#unserializable(operation, id, { path, what: value === void 0 ? "is undefined" : `is a ${typeof value}` });
    if (mayHaveLost(text2)) {
      const found = lostIn(value, path);
      if (found !== void 0) throw this.#unserializable(operation, id, found);
    }
    if (text2.includes("\\u0000") || text2.includes("\\ud")) {
      const found = unserializable(JSON.parse(text2), path);
      if (found.path !== "") throw this.#unserializable(operation, id, found);
    }
    return text2;
  }
  /** The value that a stored text is. */
  parsed(text2, what, id, operation) {
    if (text2 === null) return null;
    try {
      return JSON.parse(text2);
    } catch (cause) {
      throw errorOf("CORRUPT_DATA", `the stored ${what} is no JSON`, { backend: this.backend, operation, id, cause });
    }
  }
  #unserializable(operation, recordId, { path, what }, cause) {
    const message = `it cannot be kept as JSON: ${path === "" ? "it" : path} ${what}`;
    const id = typeof recordId === "string" ? recordId : void 0;
    return errorOf("SERIALIZATION", message, { backend: this.backend, operation, id, details: { path }, cause });
  }
};
function storable(text2) {
  return text2.replaceAll("\0", "\uFFFD").replace(new RegExp("\\p{Surrogate}", "gu"), "\uFFFD");
}
function isError(value) {
  return (0, import_types2.isNativeError)(value) || value instanceof Error;
}
function known(fields) {
  const given = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value !== void 0) given[name] = value;
  }
  return given;
}

// ts/kinds/execution-json.ts
var ENTRY = {
  stepName: true,
  status: true,
  action: true,
  stepId: true,
  attempt: true,
  branch: true,
  result: true,
  error: true,
  details: true,
  executedAt: true
};
var ExecutionJson = class extends Json {
  /** What a change consists of, without what is not given. */
  change(change, operation, id) {
    const given = {};
    for (const [name, value] of Object.entries(change)) {
      if (value === void 0) continue;
      if (name === "context") given.context = this.text(value, name, operation, id);
      else if (name === "metadata") given.metadata = value === null ? null : this.text(value, name, operation, id);
      else if (name === "tags") given.tags = this.list(value, name, operation);
      else if (name === "steps") given.entries = this.entries(value, operation, id);
      else if (name === "lastError") given.lastError = value === null ? null : this.reason(value, operation, id);
      else given[name] = name === "dueAt" ? takenDate(value) : value;
    }
    return given;
  }
  /** The elements of an iterable that is an option. */
  list(values, name, operation) {
    if (typeof values === "string" || typeof values?.[Symbol.iterator] !== "function") {
      throw invalidArgument(`option '${name}' must be an iterable, such as an array`, operation, this.backend);
    }
    return Array.from(values);
  }
  entries(steps, operation, id) {
    return this.list(steps, "steps", operation).map((entry, index) => this.entry(entry, `steps[${index}]`, operation, id));
  }
  entry(given, path, operation, id) {
    if (typeof given !== "object" || given === null) throw this.#invalid(`${path} must be an object`, operation);
    for (const name of Object.keys(given)) {
      if (Object.hasOwn(ENTRY, name) || given[name] === void 0) continue;
      throw this.#invalid(`${path} has an unknown '${name}'; accepted: ${Object.keys(ENTRY).join(", ")}`, operation);
    }
    const { stepName, status, stepId, attempt, branch, result, error, details, executedAt } = given;
    const action = given.action ?? (status === "compensated" ? "compensate" : "act");
    this.#text(stepName, path, "stepName", operation);
    this.#text(stepId ?? "", path, "stepId", operation);
    this.#text(branch ?? "", path, "branch", operation);
    if (attempt !== void 0 && !(Number.isSafeInteger(attempt) && attempt >= 0)) {
      throw this.#invalid(`${path}.attempt must be a whole number from 0 on`, operation);
    }
    let rest = "";
    const part = (name, value) => {
      if (value !== void 0) rest += `${rest === "" ? "{" : ","}"${name}":${this.text(value, `${path}.${name}`, operation, id)}`;
    };
    part("attempt", attempt);
    part("branch", branch);
    part("result", result);
    part("error", plain(error));
    if (executedAt !== void 0) part("executedAt", this.#time(executedAt, `${path}.executedAt`, operation));
    const isText = typeof details === "string";
    if (isText) this.text(details, `${path}.details`, operation, id);
    else if (details !== null) part("details", details);
    return [stepName, action, status, stepId ?? null, isText ? details : null, rest === "" ? null : `${rest}}`];
  }
  /** Why something failed, as text. */
  reason(error, operation, id) {
    const text2 = isError(error) ? String(error.message) : typeof error === "string" ? error : this.text(error, "error", operation, id);
    return storable(text2);
  }
  execution(raw, operation) {
    const context = this.parsed(raw.context ?? null, "context", raw.sagaId, operation);
    return { ...this.summary(raw, operation), context };
  }
  summary({ context: _, token: __, ...raw }, operation) {
    return { ...raw, metadata: this.parsed(raw.metadata, "metadata", raw.sagaId, operation) };
  }
  logEntry(sagaId, [seq, stepName, action, status, stepId, details, text2, at], operation) {
    const body = this.parsed(text2, `entry ${seq}`, sagaId, operation) ?? {};
    const entry = { seq, stepName, action, status, at };
    if (stepId !== null) entry.stepId = stepId;
    if (details !== null) entry.details = details;
    const { executedAt, ...rest } = body;
    Object.assign(entry, rest);
    if (executedAt !== void 0) entry.executedAt = new Date(executedAt);
    return entry;
  }
  /** A name, or the like, of an entry. */
  #text(value, path, name, operation) {
    if (typeof value !== "string") throw this.#invalid(`${path}.${name} must be text`, operation);
    if (hasSurrogate(value)) throw this.#invalid(`${path}.${name} must be well-formed Unicode`, operation);
  }
  #time(value, path, operation) {
    const date = takenDate(value);
    if (date instanceof Date && !Number.isNaN(date.getTime())) return date.toISOString();
    throw this.#invalid(`${path} must be a valid Date`, operation);
  }
  #invalid(message, operation) {
    return invalidArgument(message, operation, this.backend);
  }
};
function plain(error) {
  if (!isError(error)) return error;
  const { name, message } = error;
  const code = error.code;
  const isCode = typeof code === "string" || typeof code === "number" && Number.isFinite(code);
  return { name: storable(String(name)), message: storable(String(message)), ...isCode && { code } };
}

// ts/kinds/execution-steps.ts
async function foldedSteps(read) {
  const steps = /* @__PURE__ */ new Map();
  let after;
  do {
    const { entries, cursor } = await read(after);
    for (const entry of entries) fold(steps, entry);
    after = cursor;
  } while (after !== void 0);
  return [...steps.values()];
}
function fold(steps, entry) {
  const { stepName, branch, action, status } = entry;
  const key = JSON.stringify([stepName, branch]);
  let step = steps.get(key);
  if (step === void 0) {
    step = { stepName, status, attempts: 0, startedAt: null, endedAt: null, compensation: null };
    if (branch !== void 0) step.branch = branch;
    steps.set(key, step);
  }
  if (action === "compensate" || status === "compensated") {
    step.compensation ??= { status, attempts: 0, startedAt: null, endedAt: null };
    advance(step.compensation, entry);
    const isUndone = status === "compensated" || status === "completed";
    if (isUndone) step.status = "compensated";
    else if (step.attempts === 0 && step.startedAt === null && step.endedAt === null) step.status = status;
    return;
  }
  advance(step, entry);
  if (status === "completed") {
    if (entry.result === void 0) delete step.result;
    else step.result = entry.result;
  }
}
function advance(course, { status, error, attempt, at, executedAt }) {
  const when = executedAt ?? at;
  const isUnderWay = course.status === "started" && course.startedAt !== null;
  course.status = status;
  if (status === "failed" && error !== void 0) course.error = error;
  else delete course.error;
  if (status === "pending" || status === "skipped") {
    if (status === "skipped") course.endedAt = when;
    return;
  }
  if (status === "started" || !isUnderWay) course.attempts += 1;
  if (attempt !== void 0) course.attempts = attempt;
  if (status === "started") {
    course.startedAt = when;
    course.endedAt = null;
    return;
  }
  course.endedAt = when;
}

// ts/kinds/execution-calls.ts
var MAX_PAGE_BYTES = 4 * 1024 * 1024;
var WARNED_PART = 5;
var NULLABLE = /* @__PURE__ */ new Set(["subStatus", "metadata", "lastError", "dueAt", "context"]);
var STATUSES = ["pending", "running", "compensating", "completed", "compensated", "failed"];
function givenStatus(status, operation, backend) {
  if (typeof status === "string") return status;
  throw invalidArgument(`status must be one of '${STATUSES.join("', '")}'`, operation, backend);
}
var ExecutionCalls = class _ExecutionCalls {
  runner;
  json;
  backend;
  constructor(runner) {
    this.runner = runner;
    this.backend = runner.backend;
    this.json = new ExecutionJson(runner.backend);
  }
  /** The same, but through the store: for what goes on when the transaction has ended. */
  outside() {
    const { outside } = this.runner.executions;
    return outside === this.runner ? this : new _ExecutionCalls(outside);
  }
  /** The options of a call. */
  options(given, accepted, operation) {
    return presentOptions(given, accepted, operation, this.backend, NULLABLE);
  }
  /** A time that the caller has given. `what`: the caller's word for it. */
  time(value, what, operation) {
    const date = takenDate(value);
    if (date instanceof Date && !Number.isNaN(date.getTime())) return date;
    throw invalidArgument(`${what} must be a valid Date`, operation, this.backend);
  }
  /** An operation on one execution. */
  of(method, sagaId, fields) {
    return this.#run(method, [sagaId], fields);
  }
  /** An operation on no single one. */
  all(method, fields) {
    return this.#run(method, [], fields);
  }
  /** A change of one execution; warns when its log grows large. */
  async change(method, sagaId, fields) {
    let added = [];
    const changed = await this.of(method, sagaId, (operation) => {
      const given = fields(operation);
      added = given.entries ?? [];
      return given;
    });
    if (added.length > 0) this.#watch(method, sagaId, changed, added);
    return changed;
  }
  history(sagaId, options = {}, method = "history") {
    const { after, limit = 1e3, maxBytes = MAX_PAGE_BYTES, reverse = false } = options;
    const fields = () => known({ after, limit, maxBytes, reverse });
    return this.of("history", sagaId, fields).then(({ entries: raw, more }) => {
      const entries = raw.map((entry) => this.json.logEntry(sagaId, entry, `executions.${method}`));
      const last2 = entries.at(-1);
      return more && last2 !== void 0 ? { entries, cursor: last2.seq } : { entries };
    });
  }
  steps(sagaId) {
    return foldedSteps((after) => this.history(sagaId, known({ after }), "steps"));
  }
  #run(method, first, fields) {
    const operation = OPERATIONS[`executions.${method}`];
    let given;
    try {
      given = this.#checked(fields(operation.name), operation.name);
    } catch (error) {
      return this.runner.refuse(error, operation.name);
    }
    return this.runner.run(operation, [...first, given]);
  }
  /** JSON texts have no unpaired surrogates; the other texts would lose them on the way. */
  #checked(fields, operation) {
    const isDoubtful = (value) => typeof value === "string" && hasSurrogate(value);
    for (const [name, value] of Object.entries(fields)) {
      if (name === "context" || name === "metadata" || name === "lastError") continue;
      if (!(Array.isArray(value) ? value.some(isDoubtful) : isDoubtful(value))) continue;
      throw invalidArgument(`${name} must be well-formed Unicode (it has an unpaired surrogate)`, operation, this.backend);
    }
    return fields;
  }
  /** Tells the logger when what was added has brought the log over its fifth. */
  #watch(method, sagaId, { entries, bytes }, added) {
    const { maxHistoryEntries, maxHistoryBytes, warn } = this.runner.executions;
    if (entries < maxHistoryEntries / WARNED_PART && bytes < maxHistoryBytes / WARNED_PART) return;
    const addedBytes = added.reduce((sum, entry) => sum + bytesOf(entry), 0);
    const crosses = (now, more, most) => now - more < most / WARNED_PART && now >= most / WARNED_PART;
    const isMany = crosses(entries, added.length, maxHistoryEntries);
    if (!isMany && !crosses(bytes, addedBytes, maxHistoryBytes)) return;
    const what = isMany ? `${entries} entries, of at most ${maxHistoryEntries}` : `${bytes} bytes, of at most ${maxHistoryBytes}`;
    warn(`executions.${method}`, `the log of '${sagaId}' has ${what}: beyond that it is refused (PAYLOAD_TOO_LARGE)`);
  }
};
function bytesOf([stepName, , , ...rest]) {
  return [stepName, ...rest].reduce((sum, part) => sum + (part === null ? 0 : Buffer.byteLength(part)), 0);
}

// ts/kinds/cqrs-saga-storage.ts
function cqrsSagaStorage(store) {
  if (typeof store?.executions?.findRecoverable !== "function") {
    throw invalidArgument("cqrsSagaStorage takes a store, or a transaction of one", "cqrsSagaStorage");
  }
  const { executions } = store;
  return {
    createSaga: async (sagaId, name, context) => void await executions.create(sagaId, name, context),
    updateContext: async (sagaId, context, currentVersion) => void await executions.updateContext(sagaId, context, currentVersion),
    updateStatus: async (sagaId, status) => void await executions.updateStatus(sagaId, status),
    logStep: async (sagaId, stepName, action, status, details) => void await executions.logStep(sagaId, stepName, action, status, details ?? void 0),
    loadSagaState: async (sagaId, { readForUpdate = false } = {}) => {
      const { status, context, version } = await executions.load(sagaId, readForUpdate ? { forUpdate: true } : void 0);
      return [status, context, version];
    },
    getStepHistory: (sagaId) => historyOf(executions, sagaId),
    getSagasForRecovery: (limit, maxRecoveryAttempts, staleAfterSeconds, name) => {
      const staleAfterMs = staleAfterSeconds == null ? void 0 : Math.round(staleAfterSeconds * 1e3);
      return executions.findRecoverable({
        limit,
        ...maxRecoveryAttempts != null && { maxRecoveryAttempts },
        ...staleAfterMs !== void 0 && { staleAfterMs },
        ...name != null && { name }
      });
    },
    incrementRecoveryAttempts: (sagaId, newStatus) => executions.incrementRecoveryAttempts(sagaId, newStatus ?? void 0),
    setRecoveryAttempts: (sagaId, attempts) => executions.setRecoveryAttempts(sagaId, attempts),
    createRun: () => new BufferedRun(store)
  };
}
async function historyOf(executions, sagaId) {
  const found = [];
  let after;
  do {
    const page = await executions.history(sagaId, after === void 0 ? {} : { after }).catch((error) => {
      if (error instanceof SagaStoreError && error.code === "NOT_FOUND") return { entries: [] };
      throw error;
    });
    for (const { stepName, action, status, at, details } of page.entries) found.push(entryOf(sagaId, stepName, action, status, at, details));
    after = "cursor" in page ? page.cursor : void 0;
  } while (after !== void 0);
  return found;
}
function entryOf(sagaId, stepName, action, status, timestamp, details) {
  const text2 = details === void 0 || details === null ? null : typeof details === "string" ? details : JSON.stringify(details);
  return { sagaId, stepName, action, status, timestamp, details: text2 };
}
var BufferedRun = class {
  #store;
  #pending = /* @__PURE__ */ new Map();
  constructor(store) {
    this.#store = store;
  }
  async createSaga(sagaId, name, context) {
    const pending = this.#of(sagaId);
    pending.created = name;
    pending.context = { value: copied(context) };
  }
  async updateContext(sagaId, context, currentVersion) {
    if (currentVersion != null) {
      const [, , version] = await this.loadSagaState(sagaId);
      if (version !== currentVersion) throw conflict(sagaId, currentVersion, version);
      const pending2 = this.#of(sagaId);
      if (pending2.created === void 0) pending2.expectedVersion ??= version - pending2.changes;
    }
    const pending = this.#of(sagaId);
    pending.context = { value: copied(context) };
    pending.changes += 1;
  }
  async updateStatus(sagaId, status) {
    const given = givenStatus(status, "cqrsSagaStorage");
    const pending = this.#of(sagaId);
    pending.status = given;
    pending.changes += 1;
  }
  async logStep(sagaId, stepName, action, status, details) {
    this.#of(sagaId).entries.push({ stepName, action, status, at: /* @__PURE__ */ new Date(), ...details != null && { details } });
  }
  async loadSagaState(sagaId, options = {}) {
    const pending = this.#pending.get(sagaId);
    const { created, context, status, changes = 0 } = pending ?? {};
    if (created !== void 0) return [status ?? "pending", copied(context?.value), 1 + changes];
    const stored2 = await cqrsSagaStorage(this.#store).loadSagaState(sagaId, options);
    return [status ?? stored2[0], context === void 0 ? stored2[1] : copied(context.value), stored2[2] + changes];
  }
  async getStepHistory(sagaId) {
    const { created, entries = [] } = this.#pending.get(sagaId) ?? {};
    const stored2 = created === void 0 ? await historyOf(this.#store.executions, sagaId) : [];
    return [
      ...stored2,
      ...entries.map(({ stepName, action, status, at, details }) => entryOf(sagaId, stepName, action, status, at, details))
    ];
  }
  async commit() {
    const changes = [...this.#pending];
    const store = this.#store;
    const isTogether = changes.length > 1 && store.transaction !== void 0 && store.capabilities?.transactions !== "none";
    const write = async ({ executions }) => {
      for (const [sagaId, pending] of changes) await stored(executions, sagaId, pending);
    };
    if (isTogether && store.transaction !== void 0) await store.transaction(write);
    else await write(store);
    for (const [sagaId, pending] of changes) if (this.#pending.get(sagaId) === pending) this.#pending.delete(sagaId);
  }
  async rollback() {
    this.#pending.clear();
  }
  async [Symbol.asyncDispose]() {
    await this.rollback();
  }
  #of(sagaId) {
    let pending = this.#pending.get(sagaId);
    if (pending === void 0) {
      pending = { operationId: (0, import_node_crypto.randomUUID)(), entries: [], changes: 0 };
      this.#pending.set(sagaId, pending);
    }
    return pending;
  }
};
async function stored(executions, sagaId, pending) {
  const { created, context, status, entries, expectedVersion, operationId } = pending;
  const steps = entries.map(({ at: _, ...entry }) => entry);
  const common = { ...status !== void 0 && { status }, ...steps.length > 0 && { steps } };
  if (created !== void 0) await executions.create(sagaId, created, context?.value, common);
  else {
    const guard = expectedVersion === void 0 ? {} : { expectedVersion };
    await executions.checkpoint(sagaId, { ...common, ...guard, ...context && { context: context.value }, operationId });
  }
}
function copied(value) {
  try {
    return JSON.parse(JSON.stringify(value));
  } catch {
    return value;
  }
}
function conflict(sagaId, expectedVersion, actualVersion) {
  const message = `Optimistic concurrency conflict: version ${expectedVersion} was expected, and it is ${actualVersion}`;
  const details = { sagaId, expectedVersion, actualVersion };
  return errorOf("CONCURRENCY_CONFLICT", message, { operation: "cqrsSagaStorage", id: sagaId, details });
}

// ts/moving/records.ts
var RECORD_KINDS = ["payloads", "states", "executions", "outbox", "inbox"];
var ON_CONFLICT = ["skip-existing", "overwrite", "fail", "newer"];
var ON_ERROR = ["fail", "skip", "retry"];
var PAGE = { limit: 500, maxBytes: 8 * 1024 * 1024 };
var Records = class {
  backend;
  #runner;
  constructor(runner) {
    this.backend = runner.backend;
    this.#runner = runner;
  }
  /** A page of what is stored of a kind, also of what has expired and is still there. */
  scan(kind, { after, limit, maxBytes }) {
    return this.#runner.run(OPERATIONS.scan, [{ kind, after, limit, maxBytes }]);
  }
  /** A page of payloads without their bytes. */
  sizes({ after, limit }) {
    return this.#runner.run(OPERATIONS.scan, [{ kind: "payloads", after, limit, onlySizes: true }]);
  }
  /**
   * All pages of a kind.
   *
   * @param check called before each of them: what it throws ends the reading
   */
  pages(kind, check) {
    return pagesOf((terms) => this.scan(kind, terms), check);
  }
  /** All pages of payloads without their bytes. */
  pagesOfSizes(check) {
    return pagesOf((terms) => this.sizes(terms), check);
  }
  /** The records of at most 1,000 keys, in their order; null where there is none. */
  fetch(kind, keys) {
    return this.#runner.run(OPERATIONS.fetch, [{ kind, keys }]);
  }
  /** How many there are, also of those that have expired and are still there. */
  count(kind) {
    return this.#runner.run(OPERATIONS.count, [{ kind }]);
  }
  /** Stores at most 1,000 records as they are; the fate of each in their order. */
  importRecords(kind, records, onConflict) {
    return this.#runner.run(OPERATIONS.importRecords, [{ kind, records, onConflict }]);
  }
};
async function* pagesOf(read, check) {
  let after = null;
  do {
    check?.();
    const page = await read(after === null ? PAGE : { ...PAGE, after });
    yield page;
    after = page.cursor;
  } while (after !== null);
}
function keyOf(kind, record) {
  const key = {
    payloads: ({ id }) => id,
    states: ({ sagaName, sagaId }) => [sagaName, sagaId],
    executions: ({ sagaId }) => sagaId,
    outbox: ({ eventId }) => eventId,
    inbox: ({ consumer, messageId }) => [consumer, messageId]
  };
  return key[kind](record);
}
var RECORDS = /* @__PURE__ */ Symbol.for("sagastore.records");
function giveRecords(store, records) {
  Object.defineProperty(store, RECORDS, { value: records });
}
function recordsOf(store) {
  return store[RECORDS];
}

// ts/moving/arguments.ts
function kindsOf(kinds, operation) {
  if (kinds === void 0) return [...RECORD_KINDS];
  let given;
  try {
    given = listed(kinds);
  } catch (cause) {
    throw invalidArgument("option 'kinds' must be a list", operation, void 0, cause);
  }
  const unknown = given.find((kind) => !RECORD_KINDS.includes(kind));
  if (given.length === 0 || unknown !== void 0) {
    throw invalidArgument(`option 'kinds' must name some of '${RECORD_KINDS.join("', '")}'`, operation);
  }
  return RECORD_KINDS.filter((kind) => given.includes(kind));
}
function wholeOf(value, name, most, fallback, operation) {
  if (value === void 0) return fallback;
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return value;
  throw invalidArgument(`option '${name}' must be a whole number from 1 to ${most}`, operation);
}
function wordOf(value, name, words2, operation) {
  if (value === void 0) return words2[0];
  if (words2.includes(value)) return value;
  throw invalidArgument(`option '${name}' must be one of '${words2.join("', '")}'`, operation);
}
function flagOf(value, name, operation) {
  if (value === void 0 || typeof value === "boolean") return value ?? false;
  throw invalidArgument(`option '${name}' must be true or false`, operation);
}
function functionOf(value, name, operation) {
  if (value === void 0 || typeof value === "function") return value;
  throw invalidArgument(`option '${name}' must be a function`, operation);
}
function signalOf(value, operation) {
  if (value === void 0 || typeof value?.aborted === "boolean") return value;
  throw invalidArgument("option 'signal' must be an AbortSignal", operation);
}
function checkedRecords(store, what, operation) {
  const records = typeof store === "object" && store !== null ? recordsOf(store) : void 0;
  if (records !== void 0) return records;
  throw invalidArgument(`${what} must be a store of this package`, operation);
}
function checkSignal(signal) {
  if (signal?.aborted === true) throw signal.reason;
}
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stopped = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    if (signal?.aborted === true) return reject(signal.reason);
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stopped);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stopped, { once: true });
  });
}
function isRetryable(error) {
  return error instanceof SagaStoreError && error.retryable;
}

// ts/moving/measure.ts
function noCounts() {
  return { transferred: 0, failed: 0, skipped: 0, expired: 0, bytes: 0 };
}
function addCounts(to, more) {
  for (const name of ["transferred", "failed", "skipped", "expired", "bytes"]) to[name] += more[name];
}
function sumOf(counts) {
  const sum = noCounts();
  for (const one2 of Object.values(counts)) addCounts(sum, one2);
  return sum;
}
function lookedAt({ transferred, failed: failed2, skipped, expired }) {
  return transferred + failed2 + skipped + expired;
}
function isOver(record, now) {
  return record.expiresAt !== void 0 && record.expiresAt.getTime() <= now;
}
function subjectOf(kind, record) {
  const key = keyOf(kind, record);
  return typeof key === "string" ? { kind, id: key } : { kind, id: key[1], name: key[0] };
}
function unreadableOf(kind, [key, message]) {
  return { kind, id: key, code: "CORRUPT_DATA", message };
}
var BESIDE = 128;
function bytesOf2(kind, record) {
  if ("bytes" in record) return record.bytes;
  if ("data" in record) return record.data.byteLength;
  const text2 = (value) => value == null ? 0 : Buffer.byteLength(value);
  switch (kind) {
    case "states":
      return BESIDE + text2(record.state);
    case "executions": {
      const { context, metadata, entries } = record;
      const logged = entries.reduce((sum, [, step, , , , details, body]) => sum + 64 + text2(step) + text2(details) + text2(body), 0);
      return BESIDE + text2(context) + text2(metadata) + logged;
    }
    case "outbox": {
      const { payload, headers } = record;
      return BESIDE + (typeof payload === "string" ? text2(payload) : payload.byteLength) + text2(headers);
    }
    default:
      return BESIDE;
  }
}

// ts/moving/facets.ts
var EXPORT = { onUnreadable: true, signal: true };
var EXPORT_ALL = { ...EXPORT, kinds: true };
var IMPORT = { onConflict: true, onRejected: true };
var COUNT = { kinds: true };
var MAX_REJECTED = 100;
var Facet = class {
  /** Made when it is used first: each transaction has facets. */
  #made;
  #runner;
  /** Such as `states.`. */
  #prefix;
  #only;
  /** @param only the kind that it is about; none: all of them */
  constructor(runner, only) {
    this.#runner = runner;
    this.#only = only;
    this.#prefix = only === void 0 ? "" : `${only}.`;
  }
  get #records() {
    this.#made ??= new Records(this.#runner);
    return this.#made;
  }
  /** All living records, one by one. What comes meanwhile may be among them or not. */
  exportAll(options) {
    const operation = `${this.#prefix}exportAll`;
    const accepted = this.#only === void 0 ? EXPORT_ALL : EXPORT;
    try {
      const { kinds, onUnreadable, signal } = optionsOf(options, accepted, operation, this.#records.backend);
      const told = functionOf(onUnreadable, "onUnreadable", operation);
      const chosen = this.#only === void 0 ? kindsOf(kinds, operation) : [this.#only];
      return this.#pages(chosen, told, signalOf(signal, operation));
    } catch (error) {
      return this.#refused(error, operation);
    }
  }
  /** An iteration that fails at its first step: nothing is thrown at the call. */
  // biome-ignore lint/correctness/useYield: it has nothing to give.
  async *#refused(error, operation) {
    await this.#runner.refuse(error, operation);
  }
  async *#pages(kinds, onUnreadable, signal) {
    for (const kind of kinds) {
      for await (const page of this.#records.pages(kind, () => checkSignal(signal))) {
        for (const entry of page.unreadable) {
          const unreadable = unreadableOf(kind, entry);
          if (onUnreadable === void 0) throw this.#unreadable(unreadable);
          await onUnreadable(unreadable);
        }
        for (const record of page.records) {
          checkSignal(signal);
          if (!isOver(record, Date.now())) yield { kind, ...record };
        }
      }
    }
  }
  #unreadable({ id, message }) {
    return errorOf("CORRUPT_DATA", message, { backend: this.#records.backend, operation: `${this.#prefix}exportAll`, id });
  }
  /** Stores records as they are, in batches. */
  async importRecords(given, options) {
    const operation = `${this.#prefix}importRecords`;
    let terms;
    try {
      const taken2 = optionsOf(options, IMPORT, operation, this.#records.backend);
      terms = {
        onConflict: wordOf(taken2.onConflict, "onConflict", ON_CONFLICT, operation),
        onRejected: functionOf(taken2.onRejected, "onRejected", operation)
      };
      const iterable = given;
      if (typeof given !== "object" || !iterable?.[Symbol.asyncIterator] && !iterable?.[Symbol.iterator]) {
        throw invalidArgument(`${operation} takes records: an iterable of them`, operation, this.#records.backend);
      }
    } catch (error) {
      return await this.#runner.refuse(error, operation);
    }
    const counts = {};
    const rejected = [];
    try {
      for await (const { kind, records } of this.#batches(given, operation)) {
        const fates = await this.#records.importRecords(kind, records, terms.onConflict);
        const of = noCounts();
        for (const [index, fate] of fates.entries()) {
          const record = records[index];
          if (fate === "stored") addCounts(of, { ...noCounts(), transferred: 1, bytes: bytesOf2(kind, record) });
          else if (typeof fate === "string") of[fate] += 1;
          else {
            of.failed += 1;
            const one2 = { ...subjectOf(kind, record), code: fate.code, message: fate.message };
            if (rejected.length < MAX_REJECTED) rejected.push(one2);
            await terms.onRejected?.(one2);
          }
        }
        counts[kind] ??= noCounts();
        addCounts(counts[kind], of);
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const isEarly = error instanceof SagaStoreError && error.code === "INVALID_ARGUMENT";
      throw isEarly ? error : this.#failed(`ended by an error: ${why}`, operation, counts, rejected, error);
    }
    const sum = sumOf(counts);
    if (sum.failed === 0) return sum;
    const [first] = rejected;
    const message = `${sum.failed} records could not be stored; the first: ${first?.kind} '${String(first?.id).slice(0, 80)}': ${first?.message}`;
    throw this.#failed(message, operation, counts, rejected);
  }
  #failed(message, operation, counts, rejected, cause) {
    const error = errorOf("TRANSFER", message, { backend: this.#records.backend, operation, cause });
    return Object.assign(error, { counts, rejected });
  }
  /** Records of one kind that are stored together. */
  async *#batches(given, operation) {
    let kind;
    let records = [];
    let bytes = 0;
    for await (const one2 of given) {
      if (typeof one2 !== "object" || one2 === null) {
        throw invalidArgument("a record must be an object", operation, this.#records.backend);
      }
      const { kind: named = this.#only, ...record } = one2;
      if (named === void 0 || !RECORD_KINDS.includes(named) || this.#only !== void 0 && named !== this.#only) {
        const expected = this.#only ?? RECORD_KINDS.join("', '");
        throw invalidArgument(`the kind of a record must be '${expected}'`, operation, this.#records.backend);
      }
      if (kind !== void 0 && records.length > 0 && (kind !== named || records.length >= PAGE.limit || bytes >= PAGE.maxBytes)) {
        yield { kind, records };
        records = [];
        bytes = 0;
      }
      kind = named;
      records.push(record);
      bytes += sizeOf(kind, record);
    }
    if (kind !== void 0 && records.length > 0) yield { kind, records };
  }
  /** How many records of a kind there are. */
  async countOf(kind) {
    return (await this.#records.count(kind)).count;
  }
  /** How many records of each kind there are. */
  async counts(options) {
    let kinds;
    try {
      kinds = kindsOf(optionsOf(options, COUNT, "count", this.#records.backend).kinds, "count");
    } catch (error) {
      return await this.#runner.refuse(error, "count");
    }
    const counts = {};
    for (const kind of kinds) counts[kind] = await this.#records.count(kind);
    return counts;
  }
};
function sizeOf(kind, record) {
  try {
    return bytesOf2(kind, record);
  } catch {
    return 0;
  }
}

// ts/promises.ts
var import_node_timers = require("node:timers");
var realSetImmediate = import_node_timers.setImmediate;
function turn() {
  return new Promise((resolve) => realSetImmediate(resolve));
}
var LONGEST_TIMER_MS = 2147483647;
async function within(limitMs, running, late) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(late()), Math.min(limitMs, LONGEST_TIMER_MS));
  });
  try {
    return await Promise.race([running, limit]);
  } finally {
    clearTimeout(timer);
  }
}
async function atMost(limitMs, running) {
  const late = new Error("late");
  await within(limitMs, running, () => late).catch((error) => {
    if (error !== late) throw error;
  });
}
function isPromiseLike(value) {
  return typeof value === "object" && value !== null && typeof value.then === "function";
}

// ts/kinds/call-time.ts
var CallTime = class {
  #runner;
  #operation;
  #until;
  constructor(runner, operation) {
    this.#runner = runner;
    this.#operation = operation;
    this.#until = performance.now() + runner.operationTimeoutMs;
  }
  /** What the next of them comes to, unless the time is over: then it is not begun any more, or no longer waited for. */
  async of(begin) {
    const left = this.#until - performance.now();
    if (left <= 0) throw this.#late();
    return await within(left, Promise.resolve(begin()), () => this.#late());
  }
  #late() {
    const { backend, operationTimeoutMs } = this.#runner;
    const message = `not done within operationTimeoutMs (${operationTimeoutMs} ms)`;
    return errorOf("TIMEOUT", message, { backend, operation: this.#operation, retryable: true });
  }
};

// ts/kinds/cursors.ts
function cursorOf(list2, position) {
  return Buffer.from(JSON.stringify([...list2, position])).toString("base64url");
}
function positionOf(cursor, list2, operation, backend) {
  if (cursor === void 0) return void 0;
  let parts;
  try {
    parts = typeof cursor === "string" ? JSON.parse(Buffer.from(cursor, "base64url").toString()) : void 0;
  } catch {
    parts = void 0;
  }
  if (Array.isArray(parts) && parts.length === list2.length + 1) {
    const position = parts[list2.length];
    if (typeof position === "string" && list2.every((part, at) => part === parts[at])) return position;
  }
  const message = "option 'cursor' is none of this list: give that of the page before, and the same name and filter as there";
  throw invalidArgument(message, operation, backend);
}

// ts/kinds/execution-lease.ts
var forgotten = new FinalizationRegistry((lease) => lease.end());
var Lease = class _Lease {
  sagaId;
  token;
  leaseMs;
  #support;
  #backend;
  #controller = new AbortController();
  #isOver = false;
  #renews;
  /** Writes under way that end it: what is heard of it meanwhile may come of them. */
  #endings = 0;
  #heard;
  constructor({ sagaId, token, leaseMs }, support, backend, renews) {
    this.#renews = renews;
    this.sagaId = sagaId;
    this.token = token;
    this.leaseMs = leaseMs;
    this.#support = support;
    this.#backend = backend;
  }
  /** The lease of a run. `renews`: it is renewed from now on. */
  static of(run4, support, backend, renews) {
    const lease = new _Lease(run4, support, backend, renews);
    if (renews) forgotten.register(run4, lease, lease);
    lease.#keep();
    return lease;
  }
  #keep() {
    if (!this.#renews) return;
    this.#support.keep(this).then(
      (reason) => reason !== null && this.lose(reason),
      // Without renewal it is over by its own time; each write tells.
      () => void 0
    );
  }
  /** The transaction that has ended it has not happened. */
  resume() {
    if (!this.#isOver || this.#controller.signal.aborted) return;
    this.#isOver = false;
    this.#keep();
  }
  get signal() {
    return this.#controller.signal;
  }
  /** Whether it has ended or is lost. */
  get isOver() {
    return this.#isOver;
  }
  /** Runs a write that ends it. */
  async ending(write) {
    this.#endings += 1;
    try {
      await write();
      this.end();
    } finally {
      this.#endings -= 1;
      if (this.#endings === 0 && this.#heard !== void 0) this.lose(this.#heard);
    }
  }
  /** It is not renewed any more. */
  end() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#support.unkeep(this);
  }
  /** It is lost, for this reason or with this error. */
  lose(reason) {
    if (this.#isOver) return;
    if (this.#endings > 0) {
      this.#heard ??= reason;
      return;
    }
    this.end();
    this.#controller.abort(this.#error(reason));
  }
  #error(reason) {
    const isLost = reason instanceof Error && reason.code === "LEASE_LOST";
    if (isLost) return reason;
    const message = `the lease is lost: ${reason instanceof Error ? reason.message : reason}`;
    const cause = reason instanceof Error ? { cause: reason } : {};
    return errorOf("LEASE_LOST", message, { backend: this.#backend, operation: "executions.heartbeat", id: this.sagaId, ...cause });
  }
};

// ts/kinds/saga-run.ts
var CHANGE = {
  context: true,
  status: true,
  subStatus: true,
  metadata: true,
  tags: true,
  steps: true,
  lastError: true,
  operationId: true,
  expectedVersion: true
};
var HISTORY = { after: true, limit: true, maxBytes: true, reverse: true };
var RELEASE = { retryAt: true, error: true };
var make;
function runOf(calls, raw, terms) {
  return make(calls, raw, terms);
}
var SagaRun = class _SagaRun {
  sagaId;
  name;
  /** Of this lease, and of no other one. */
  token;
  workerId;
  /** How long the lease lasts if it is not renewed, in ms. */
  leaseMs;
  /** How often the execution was claimed since a step was last completed, this time included; 0 after `start`. */
  attempt;
  #calls;
  #lease;
  #version;
  #status;
  #text;
  #context;
  static {
    make = (calls, raw, terms) => new _SagaRun(calls, raw, terms);
  }
  constructor(calls, raw, { leaseMs, renew }) {
    this.sagaId = raw.sagaId;
    this.name = raw.name;
    this.token = raw.token;
    this.workerId = raw.workerId;
    this.leaseMs = leaseMs;
    this.attempt = raw.attempts;
    this.#calls = calls;
    this.#version = raw.version;
    this.#status = raw.status;
    this.#text = raw.context ?? null;
    this.#lease = Lease.of(this, calls.runner.executions, calls.backend, renew);
  }
  /** Aborted when the lease is lost, with the `LEASE_LOST` error as its reason: stop working on the saga then. */
  get signal() {
    return this.#lease.signal;
  }
  /** The version that was last stored. */
  get version() {
    return this.#version;
  }
  /** The status that was last stored. */
  get status() {
    return this.#status;
  }
  /** The context that was last stored: a value of the run's own, null if there is none. */
  get context() {
    this.#context ??= { value: this.#calls.json.parsed(this.#text, "context", this.sagaId, "executions.claim") };
    return this.#context.value;
  }
  /**
   * Changes status, context, tags and so on, and adds entries to the log: all of it or nothing. Where less than half of
   * the lease is left, it is renewed by the way.
   *
   * @throws LeaseLostError if another worker has the execution, or it was ended
   * @throws ConcurrencyError if `expectedVersion` is given, and it is another one
   * @throws InvalidStateError, NotFoundError, PayloadTooLargeError, SerializationError
   */
  async checkpoint(change) {
    const { version, firstSeq } = await this.#write(
      "checkpoint",
      true,
      (operation) => this.#calls.json.change(this.#options(change, CHANGE, operation), operation, this.sagaId)
    );
    return { version, firstSeq };
  }
  /** Replaces the context. Answers the version. */
  async updateContext(context) {
    const change = (operation) => ({ context: this.#calls.json.text(context, "context", operation, this.sagaId) });
    return (await this.#write("updateContext", true, change)).version;
  }
  /** Changes the status, and the engine's own word. Answers the version. */
  async updateStatus(status, subStatus) {
    const change = (operation) => known({ status: givenStatus(status, operation, this.#calls.backend), subStatus });
    return (await this.#write("updateStatus", true, change)).version;
  }
  /** Adds an entry to the log. The version stays. Answers the entry's number. */
  async logStep(stepName, action, status, details) {
    const { firstSeq } = await this.#write("logStep", false, (operation) => ({
      entries: this.#calls.json.entries([{ stepName, action, status, details }], operation, this.sagaId)
    }));
    return firstSeq;
  }
  /** Adds an entry to the log, with a result or an error. The version stays. Answers the entry's number. */
  async updateStep(stepName, update) {
    const { firstSeq } = await this.#write("updateStep", false, (operation) => ({
      entries: this.#calls.json.entries([{ ...update, stepName }], operation, this.sagaId)
    }));
    return firstSeq;
  }
  /** A page of the log. See `SagaExecutions.history`. */
  async history(options) {
    let taken2;
    try {
      taken2 = this.#options(options, HISTORY, "executions.history");
    } catch (error) {
      return await this.#calls.runner.refuse(error, "executions.history");
    }
    return await this.#calls.history(this.sagaId, taken2);
  }
  /** The steps, as the log tells. It reads all of the log, page by page. */
  steps() {
    return this.#calls.steps(this.sagaId);
  }
  /** Ends it: all steps are done. The lease ends with it. */
  async complete(context) {
    await this.#end("complete", (operation) => this.#calls.json.change({ status: "completed", context }, operation, this.sagaId));
  }
  /** Ends it: what was done is undone. The lease ends with it. */
  async compensated(context) {
    await this.#end("compensated", (operation) => this.#calls.json.change({ status: "compensated", context }, operation, this.sagaId));
  }
  /** Ends it as failed, for good. The lease ends with it. What may go better the next time is a `release` with an error. */
  async fail(error) {
    await this.#end("fail", (operation) => {
      const lastError = error === void 0 ? void 0 : this.#calls.json.reason(error, operation, this.sagaId);
      return known({ status: "failed", lastError });
    });
  }
  /** Lets go of it, and nobody can claim it before that time. It does not count as an attempt. */
  async waitUntil(date) {
    await this.#letGo("waitUntil", (operation) => ({
      release: { dueAt: this.#calls.time(date, "the date", operation), counted: false }
    }));
  }
  /** Hands it back, for another worker. It does not count as an attempt, unless an `error` is given: then the backoff comes first. */
  async release(options) {
    await this.#letGo("release", (operation) => {
      const { retryAt, error } = this.#options(options, RELEASE, operation);
      const dueAt = retryAt === void 0 ? void 0 : this.#calls.time(retryAt, "option 'retryAt'", operation);
      const release = known({ dueAt, counted: error !== void 0 });
      const lastError = error === void 0 ? void 0 : this.#calls.json.reason(error, operation, this.sagaId);
      return known({ release, lastError });
    });
  }
  /** `await using run = …`: hands it back, unless it has ended or was lost. With `requireTransaction` only inside of a transaction. */
  async [Symbol.asyncDispose]() {
    if (this.#lease.isOver) return;
    try {
      await this.release();
    } catch (error) {
      const isGone = error instanceof SagaStoreError && ["LEASE_LOST", "NOT_FOUND", "INVALID_STATE"].includes(error.code);
      if (!isGone) throw error;
    }
  }
  /** @internal What a heartbeat found out. */
  lose() {
    this.#lease.lose("another worker has it, or it was ended");
  }
  #options(options, accepted, operation) {
    return this.#calls.options(options, accepted, operation);
  }
  #end(method, fields) {
    return this.#lease.ending(() => this.#write(method, true, fields));
  }
  #letGo(method, fields) {
    return this.#lease.ending(() => this.#write(method, false, fields, false));
  }
  /** `counts`: whether the version goes up. `renews`: whether it may renew the lease. */
  async #write(method, counts, fields, renews = true) {
    const { sagaId, token, leaseMs } = this;
    let given = {};
    const make2 = (operation) => {
      given = { ...fields(operation) };
      return { ...given, counts, token, ...renews && { leaseMs } };
    };
    const [version, status, text2, isHeld] = [this.#version, this.#status, this.#text, !this.#lease.isOver];
    this.#calls.runner.executions.onRollback(() => {
      this.#version = version;
      this.#status = status;
      this.#text = text2;
      this.#context = void 0;
      if (isHeld) this.#lease.resume();
    });
    let changed;
    try {
      changed = await this.#calls.change(method, sagaId, make2);
    } catch (error) {
      if (error instanceof SagaStoreError && (error.code === "LEASE_LOST" || error.code === "NOT_FOUND")) this.#lease.lose(error);
      throw error;
    }
    if (changed.version < this.#version) return changed;
    this.#version = changed.version;
    if (given.status !== void 0) this.#status = given.status;
    if (given.context !== void 0) {
      this.#text = given.context;
      this.#context = void 0;
    }
    return changed;
  }
};

// ts/kinds/executions.ts
var CREATE = { status: true, subStatus: true, metadata: true, tags: true, steps: true, dueAt: true };
var START = { ...CREATE, workerId: true, leaseMs: true, renew: true };
var GUARDS = { expectedVersion: true, token: true, force: true };
var CHECKPOINT = {
  context: true,
  status: true,
  subStatus: true,
  metadata: true,
  tags: true,
  steps: true,
  dueAt: true,
  lastError: true,
  operationId: true,
  ...GUARDS
};
var SAVE = {
  sagaId: true,
  name: true,
  status: true,
  subStatus: true,
  context: true,
  metadata: true,
  tags: true,
  steps: true,
  force: true
};
var HISTORY2 = { after: true, limit: true, maxBytes: true, reverse: true };
var FILTER = { name: true, status: true, tag: true, parked: true };
var PAGE2 = { limit: true, cursor: true };
var CLAIM = {
  workerId: true,
  leaseMs: true,
  renew: true,
  limit: true,
  names: true,
  statuses: true,
  maxRecoveryAttempts: true,
  staleAfterMs: true
};
var RECOVERABLE = { limit: true, maxRecoveryAttempts: true, staleAfterMs: true, name: true };
var TERMINAL = ["completed", "compensated", "failed"];
var UNDER_WAY = ["running", "compensating"];
var TERMS = { leaseMs: 3e4, renew: true };
var MAX_ATTEMPTS = 5;
var MAX_BATCH = 1e3;
var SagaExecutions = class {
  #runner;
  #calls;
  #facet;
  /** @internal */
  constructor(runner) {
    this.#runner = runner;
    this.#calls = new ExecutionCalls(runner);
    this.#facet = new Facet(runner, "executions");
  }
  /**
   * Stores a new execution. Nobody has it. Answers its version, 1.
   *
   * @param context JSON; none, if left out
   * @throws AlreadyExistsError if the saga id is taken
   * @throws SerializationError if something of it cannot be kept as JSON: `path` says what
   */
  async create(sagaId, name, context, options) {
    const created = await this.#calls.change("create", sagaId, (operation) => {
      const { status = "pending", ...taken2 } = this.#options(options, CREATE, operation);
      return { name, ...this.#calls.json.change({ context, status, ...taken2 }, operation, sagaId) };
    });
    return created.version;
  }
  /**
   * The execution, with its context; its log is read by `history` and `steps`.
   *
   * @param options `forUpdate`: in a transaction of PostgreSQL or SQLite, nobody else changes it before the end of that
   * @throws NotFoundError if there is none
   */
  async load(sagaId, options) {
    const raw = await this.#calls.of("load", sagaId, (operation) => this.#options(options, { forUpdate: true }, operation));
    return this.#calls.json.execution(raw, "executions.load");
  }
  /** The execution, or null. */
  async find(sagaId, options) {
    const take = (operation) => this.#options(options, { forUpdate: true }, operation);
    const raw = await this.#calls.of("find", sagaId, take);
    return raw === null ? null : this.#calls.json.execution(raw, "executions.find");
  }
  /**
   * Changes status, context, tags and so on, and adds entries to the log: all of it or nothing, in one round trip.
   * Without `context` the context is not written again: let results of steps live in their entries.
   *
   * @throws NotFoundError, LeaseLostError, InvalidStateError, PayloadTooLargeError, SerializationError
   * @throws ConcurrencyError if the version is not `expectedVersion`: it has the `actualVersion`
   */
  async checkpoint(sagaId, change) {
    const { version, firstSeq } = await this.#calls.change("checkpoint", sagaId, (operation) => {
      const given = this.#calls.json.change(this.#options(change, CHECKPOINT, operation), operation, sagaId);
      given.counts = true;
      return given;
    });
    return { version, firstSeq };
  }
  /**
   * Replaces the context. Answers the version.
   *
   * @param guard the version that is expected, or more guards
   * @throws ConcurrencyError, NotFoundError, LeaseLostError, SerializationError
   */
  async updateContext(sagaId, context, guard) {
    const changed = await this.#calls.change("updateContext", sagaId, (operation) => {
      const guards2 = typeof guard === "object" ? this.#options(guard, GUARDS, operation) : known({ expectedVersion: guard });
      return { ...guards2, context: this.#calls.json.text(context, "context", operation, sagaId), counts: true };
    });
    return changed.version;
  }
  /**
   * Changes the status. Answers the version.
   *
   * @throws InvalidStateError if it is terminal, and the new status is another one
   * @throws ConcurrencyError, NotFoundError, LeaseLostError
   */
  async updateStatus(sagaId, status, options) {
    const changed = await this.#calls.change("updateStatus", sagaId, (operation) => ({
      ...this.#options(options, { ...GUARDS, subStatus: true }, operation),
      status: givenStatus(status, operation, this.#runner.backend),
      counts: true
    }));
    return changed.version;
  }
  /**
   * Adds an entry to the log. The version stays. Answers the entry's number.
   *
   * @param details text, or JSON
   */
  async logStep(sagaId, stepName, action, status, details) {
    const { firstSeq } = await this.#calls.change("logStep", sagaId, (operation) => ({
      entries: this.#calls.json.entries([{ stepName, action, status, details }], operation, sagaId),
      counts: false
    }));
    return firstSeq;
  }
  /**
   * Says what has become of a step: adds an entry to the log, with a result or an error. The version stays.
   * Answers the entry's number.
   */
  async updateStep(sagaId, stepName, update) {
    const { firstSeq } = await this.#calls.change("updateStep", sagaId, (operation) => {
      const { token, force, ...entry } = update ?? {};
      const guards2 = this.#options({ token, force }, { token: true, force: true }, operation);
      const entries = this.#calls.json.entries([{ ...entry, stepName }], operation, sagaId);
      return { ...guards2, entries, counts: false };
    });
    return firstSeq;
  }
  /**
   * A page of the log, in the order of writing. Give its cursor as `after` to get the next one; the last page has none.
   *
   * @throws NotFoundError if there is no such execution
   */
  async history(sagaId, options) {
    let taken2;
    try {
      taken2 = this.#options(options, HISTORY2, "executions.history");
    } catch (error) {
      return await this.#runner.refuse(error, "executions.history");
    }
    return await this.#calls.history(sagaId, taken2);
  }
  /** The steps, as the log tells: of each its status, result, error, attempts and times. It reads all of the log, page by page. */
  steps(sagaId) {
    return this.#calls.steps(sagaId);
  }
  /**
   * Inserts an execution, or replaces one as a whole, its log included. `createdAt` stays.
   *
   * @throws LeaseLostError if it was ever leased, without `force`
   */
  async save(execution) {
    const sagaId = execution?.sagaId;
    const { version, firstSeq } = await this.#calls.change("save", sagaId, (operation) => {
      const { sagaId: _, name, steps = [], ...rest } = this.#options(execution, SAVE, operation);
      return { name, ...this.#calls.json.change({ ...rest, steps }, operation, sagaId) };
    });
    return { version, firstSeq };
  }
  /** Removes an execution and its log, whoever has it. Whether there was one. */
  delete(sagaId) {
    return this.#calls.of("delete", sagaId, () => ({}));
  }
  /** Executions without their contexts, the latest change (or creation) first, in pages. The last page has no cursor. */
  async list(options) {
    return await this.#list((operation) => this.#options(options, { ...FILTER, ...PAGE2, order: true }, operation));
  }
  /** Those that were claimed too often without progress, in pages, the latest change first: `redrive` brings them back. */
  async parked(options) {
    return await this.#list((operation) => ({ ...this.#options(options, PAGE2, operation), parked: true }));
  }
  /** How many there are. */
  count(filter) {
    return this.#calls.all("count", (operation) => ({ ...this.#options(filter, FILTER, operation) }));
  }
  /** How many there are, by status; how many are parked and leased; the bytes of contexts and logs, about. */
  statistics() {
    return this.#calls.all("statistics", () => ({}));
  }
  /**
   * Removes executions that have been terminal for `olderThanMs`, with all that belongs to them, in batches of at most
   * 1,000. Answers how many. What was removed stays removed where a later batch fails.
   */
  async cleanup(options) {
    const operation = "executions.cleanup";
    let limit;
    let before;
    let statuses;
    try {
      const taken2 = this.#options(options, { olderThanMs: true, statuses: true, limit: true }, operation);
      const { olderThanMs } = taken2;
      if (!(Number.isSafeInteger(olderThanMs) && olderThanMs >= 0 && olderThanMs <= Date.now())) {
        throw invalidArgument("olderThanMs must be a whole number from 0 on", operation, this.#runner.backend);
      }
      before = new Date(Date.now() - olderThanMs);
      statuses = this.#calls.json.list(taken2.statuses ?? TERMINAL, "statuses", operation);
      limit = mostOf(taken2, operation, this.#runner.backend);
    } catch (error) {
      return await this.#runner.refuse(error, operation);
    }
    const time = new CallTime(this.#runner, operation);
    let removed = 0;
    while (removed < limit) {
      const batch = Math.min(MAX_BATCH, limit - removed);
      const count = await time.of(() => this.#calls.all("cleanup", () => ({ before, statuses, limit: batch })));
      removed += count;
      if (count < batch) break;
    }
    return removed;
  }
  /**
   * Creates an execution that one worker has from the start, in one write: nobody can claim it before its lease is over.
   *
   * @throws AlreadyExistsError if the saga id is taken
   */
  async start(sagaId, name, context, options) {
    let terms = TERMS;
    const raw = await this.#calls.of("start", sagaId, (operation) => {
      const { workerId, leaseMs, renew, status = "running", ...rest } = this.#options(options, START, operation);
      terms = this.#terms(leaseMs, renew, operation);
      const given = this.#calls.json.change({ context, status, ...rest }, operation, sagaId);
      return known({ name, ...given, workerId, leaseMs: terms.leaseMs });
    });
    return runOf(this.#calls.outside(), raw, terms);
  }
  /**
   * Gives executions that are due to one worker, the longest due first: those whose worker has died (its lease is over,
   * and so is the backoff), that were handed back, and whose `dueAt` has come. Two claimers never get the same one. Each
   * claim counts as an attempt; an execution that had `maxRecoveryAttempts` without progress is parked, and the next
   * one is looked at.
   *
   * @throws UnsupportedError in a transaction that is only sent at its end (Redis, DynamoDB)
   */
  async claim(options) {
    let terms = TERMS;
    const claimed = await this.#calls.all("claim", (operation) => {
      const { names, statuses = UNDER_WAY, leaseMs, renew, ...rest } = this.#options(options, CLAIM, operation);
      terms = this.#terms(leaseMs, renew, operation);
      return known({
        limit: 1,
        maxRecoveryAttempts: MAX_ATTEMPTS,
        staleAfterMs: 0,
        ...rest,
        leaseMs: terms.leaseMs,
        names: names === void 0 ? void 0 : this.#calls.json.list(names, "names", operation),
        statuses: this.#calls.json.list(statuses, "statuses", operation)
      });
    });
    return claimed.map((raw) => runOf(this.#calls.outside(), raw, terms));
  }
  /**
   * Renews leases now, by their own times, and tells which of them are lost; the signals of lost runs are aborted. Runs
   * are renewed by themselves: this is for those who want to know.
   */
  async heartbeat(runs) {
    let held = [];
    const lost3 = await this.#calls.all("heartbeat", () => {
      held = listed(runs);
      return { runs: held.map((run4) => [run4?.sagaId, run4?.token, run4?.leaseMs]) };
    });
    for (const run4 of held) if (run4 instanceof SagaRun && lost3.includes(run4.sagaId)) run4.lose();
    return { lost: lost3 };
  }
  /**
   * Brings parked executions back: they are due at once. Answers how many were parked.
   *
   * @param options `resetAttempts` (default true): they have all attempts again; else only a claim with a higher
   *   `maxRecoveryAttempts` takes them
   */
  async redrive(sagaIds, options) {
    let ids;
    let resetAttempts;
    try {
      ids = listed(sagaIds);
      resetAttempts = this.#options(options, { resetAttempts: true }, "executions.redrive").resetAttempts ?? true;
    } catch (error) {
      return await this.#runner.refuse(error, "executions.redrive");
    }
    const time = new CallTime(this.#runner, "executions.redrive");
    let count = 0;
    for (let at = 0; at < ids.length; at += MAX_BATCH) {
      const batch = ids.slice(at, at + MAX_BATCH);
      count += await time.of(() => this.#calls.all("redrive", () => ({ ids: batch, resetAttempts })));
    }
    return count;
  }
  /** Ids of running and compensating executions with attempts left, the oldest change first. It only looks: two callers get the same. */
  findRecoverable(options) {
    return this.#calls.all("findRecoverable", (operation) => ({
      maxRecoveryAttempts: MAX_ATTEMPTS,
      staleAfterMs: 0,
      ...this.#options(options, RECOVERABLE, operation)
    }));
  }
  /** Counts an attempt, and sets another status if one is given: for engines without leases. */
  async incrementRecoveryAttempts(sagaId, newStatus) {
    const counts = newStatus !== void 0;
    await this.#calls.change("incrementRecoveryAttempts", sagaId, (operation) => {
      const status = newStatus === void 0 ? void 0 : givenStatus(newStatus, operation, this.#runner.backend);
      return known({ attempts: "increment", status, counts });
    });
  }
  /** Sets the number of attempts: for engines without leases. It does not bring a parked one back: `redrive` does. */
  async setRecoveryAttempts(sagaId, attempts) {
    await this.#calls.change("setRecoveryAttempts", sagaId, (operation) => {
      if (Number.isSafeInteger(attempts) && attempts >= 0) return { attempts, counts: false };
      throw invalidArgument("attempts must be a whole number from 0 on", operation, this.#runner.backend);
    });
  }
  /**
   * All executions with their logs as they are stored, one by one, page by page behind the scenes: whole records for `importRecords` of another
   * store. What has expired is left out; what is stored meanwhile may be left out. Nothing is blocked.
   *
   * @throws CorruptDataError if one cannot be read, without `onUnreadable`
   */
  exportAll(options) {
    return this.#facet.exportAll(options);
  }
  /**
   * Stores executions with their logs as they are: versions, dates, and all else. What has expired is counted, and not stored.
   *
   * @throws TransferError if one of them could not be stored: all others are
   */
  importRecords(records, options) {
    return this.#facet.importRecords(records, options);
  }
  #terms(leaseMs = TERMS.leaseMs, renew, operation) {
    if (renew === void 0 || typeof renew === "boolean") return { leaseMs, renew: renew ?? true };
    throw invalidArgument("option 'renew' must be true or false", operation, this.#runner.backend);
  }
  async #list(take) {
    let limit = 100;
    let order = "updated";
    let list2 = [];
    const found = await this.#calls.all("list", (operation) => {
      const { cursor, ...rest } = take(operation);
      limit = rest.limit ?? limit;
      order = rest.order ?? order;
      const { name, status, tag, parked } = rest;
      list2 = ["executions", JSON.stringify([order, name, status, tag, parked])];
      const after = this.#place(positionOf(cursor, list2, operation, this.#runner.backend), operation);
      return known({ ...rest, order, limit, after });
    });
    const items = found.map((raw) => this.#calls.json.summary(raw, "executions.list"));
    const last2 = items.at(-1);
    if (last2 === void 0 || items.length < limit) return { items };
    const time = order === "created" ? last2.createdAt : last2.updatedAt;
    return { items, cursor: cursorOf(list2, `${time.getTime()}:${last2.sagaId}`) };
  }
  /** Where a page begins. */
  #place(position, operation) {
    if (position === void 0) return void 0;
    const [, time, id] = /^(-?\d{1,16}):(.+)$/s.exec(position) ?? [];
    if (time !== void 0 && id !== void 0) return [takenDate(new Date(Number(time))), id];
    throw invalidArgument("option 'cursor' is none of this list", operation, this.#runner.backend);
  }
  #options(options, accepted, operation) {
    return this.#calls.options(options, accepted, operation);
  }
};

// ts/kinds/idempotency-store.ts
var OPTIONS = { consumer: true, ttlMs: true };
function idempotencyStore(store, options) {
  const operation = "idempotencyStore";
  if (typeof store?.inbox?.accept !== "function") {
    throw invalidArgument("idempotencyStore takes a store, or a transaction of one", operation);
  }
  const { consumer = "saga-bus", ttlMs: usual } = optionsOf(options, OPTIONS, operation);
  if (typeof consumer !== "string" || consumer === "") throw invalidArgument("option 'consumer' must be text", operation);
  if (usual !== void 0 && !(Number.isSafeInteger(usual) && usual > 0)) {
    throw invalidArgument("option 'ttlMs' must be a whole number above 0", operation);
  }
  const { inbox } = store;
  return {
    has: (messageId) => inbox.has(consumer, messageId),
    async set(messageId, ttlMs = usual) {
      await inbox.accept(consumer, messageId, ttlMs === void 0 ? {} : { ttlMs });
    },
    async delete(messageId) {
      await inbox.forget(consumer, messageId);
    },
    async clear() {
      throw errorOf("UNSUPPORTED", "the inbox cannot forget all messages of a consumer: forget them one by one", { operation });
    }
  };
}

// ts/kinds/inbox.ts
var ACCEPT = { ttlMs: true };
var TTL_MS = 6048e5;
var MAX_BATCH2 = 1e3;
var SagaInboxEntries = class {
  runner;
  #facet;
  /** @internal */
  constructor(runner) {
    this.runner = runner;
    this.#facet = new Facet(runner, "inbox");
  }
  /**
   * Remembers a message, in one atomic write. In a transaction it is remembered with the rest of it.
   *
   * @returns whether it was new. In a transaction that is only sent at its end (Redis, DynamoDB) it is always true: if
   *   the message was not new, the transaction fails with `ALREADY_EXISTS`
   */
  accept(consumer, messageId, options) {
    return this.#run("accept", consumer, messageId, () => ({ ttlMs: TTL_MS, ...this.options(options, "inbox.accept") }));
  }
  /** Whether a message is remembered. */
  has(consumer, messageId) {
    return this.#run("has", consumer, messageId);
  }
  /** Forgets a message: it is new again. Whether it was remembered. */
  forget(consumer, messageId) {
    return this.#run("forget", consumer, messageId);
  }
  /** Removes what is remembered no longer, in batches, where the server does not do it by itself. Answers how many. */
  async cleanup() {
    const time = new CallTime(this.runner, "inbox.cleanup");
    let total = 0;
    for (; ; ) {
      const count = await time.of(() => this.runner.run(OPERATIONS["inbox.cleanup"], [{ limit: MAX_BATCH2 }]));
      total += count;
      if (count < MAX_BATCH2) return total;
    }
  }
  /**
   * All entries as they are stored, one by one, page by page behind the scenes: whole records for `importRecords` of another
   * store. What has expired is left out; what is stored meanwhile may be left out. Nothing is blocked.
   *
   * @throws CorruptDataError if one cannot be read, without `onUnreadable`
   */
  exportAll(options) {
    return this.#facet.exportAll(options);
  }
  /**
   * Stores entries as they are: versions, dates, and all else. What has expired is counted, and not stored.
   *
   * @throws TransferError if one of them could not be stored: all others are
   */
  importRecords(records, options) {
    return this.#facet.importRecords(records, options);
  }
  /** How many entries there are; about, where counting would read everything. */
  count() {
    return this.#facet.countOf("inbox");
  }
  /** @internal */
  options(options, operation) {
    return presentOptions(options, ACCEPT, operation, this.runner.backend);
  }
  #run(method, consumer, messageId, fields = () => ({})) {
    const operation = OPERATIONS[`inbox.${method}`];
    let given;
    try {
      for (const [name, value] of [
        ["consumer", consumer],
        ["messageId", messageId]
      ]) {
        if (typeof value !== "string" || !new RegExp("\\p{Surrogate}", "u").test(value)) continue;
        const message = `${name} must be well-formed Unicode (it has an unpaired surrogate)`;
        throw invalidArgument(message, operation.name, this.runner.backend);
      }
      given = fields();
    } catch (error) {
      return this.runner.refuse(error, operation.name);
    }
    return this.runner.run(operation, [consumer, messageId, given]);
  }
};
var SagaInbox = class extends SagaInboxEntries {
  #support;
  /** @internal */
  constructor(runner, support) {
    super(runner);
    this.#support = support;
  }
  /**
   * Accepts a message and does its work in one transaction of the store: what `work` changes through `tx` or the store is
   * stored once, however often the message is delivered. Does nothing for a duplicate. A work that throws is not
   * remembered, and `run` is rejected with what it threw.
   *
   * Like `store.transaction`, it runs `work` again if another transaction got in its way, and joins a transaction that is
   * open already. There, where transactions are only sent at their end (Redis, DynamoDB), a duplicate makes that
   * transaction fail with `ALREADY_EXISTS`.
   *
   * @throws UnsupportedError if the server, or the client that the store was given, has no transactions
   */
  async run(consumer, messageId, work, options) {
    const operation = "inbox.run";
    try {
      if (typeof work !== "function") throw invalidArgument("run takes a function", operation, this.runner.backend);
      this.options(options, operation);
    } catch (error) {
      return await this.runner.refuse(error, operation);
    }
    const time = new CallTime(this.runner, operation);
    const isKnown = () => time.of(() => this.has(consumer, messageId));
    const learnsLate = this.#support.learnsLate();
    if (learnsLate && await isKnown()) return { ran: false };
    let isWorked = false;
    try {
      return await this.#support.transaction(async (tx) => {
        isWorked = false;
        if (!await tx.inbox.accept(consumer, messageId, options)) return { ran: false };
        const result = await work(tx);
        isWorked = true;
        return { ran: true, result };
      });
    } catch (error) {
      const isTaken = error instanceof SagaStoreError && error.code === "ALREADY_EXISTS" && error.id === messageId;
      if (learnsLate && isWorked && isTaken && await isKnown()) return { ran: false };
      throw error;
    }
  }
};

// ts/kinds/outbox-json.ts
var import_types3 = require("node:util/types");

// ts/kinds/uuid.ts
var import_node_crypto2 = require("node:crypto");
var last = 0;
var counter = 0;
function uuidv7() {
  const now = Date.now();
  if (now > last) {
    last = now;
    counter = (0, import_node_crypto2.randomInt)(2048);
  } else if (++counter > 4095) {
    last += 1;
    counter = 0;
  }
  const time = last.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, "0")}${(0, import_node_crypto2.randomUUID)().slice(18)}`;
}

// ts/kinds/outbox-json.ts
var EVENT = {
  eventId: true,
  eventType: true,
  payload: true,
  sagaId: true,
  aggregateType: true,
  aggregateId: true,
  headers: true,
  routingKey: true,
  partitionKey: true,
  availableAt: true,
  occurredAt: true
};
var TEXTS = ["eventId", "eventType", "sagaId", "aggregateType", "aggregateId", "routingKey", "partitionKey"];
var OutboxJson = class extends Json {
  given(event, operation) {
    if (typeof event !== "object" || event === null) throw this.#invalid("an event must be an object", operation);
    for (const name of Object.keys(event)) {
      const value = event[name];
      if (value === void 0) continue;
      if (!Object.hasOwn(EVENT, name))
        throw this.#invalid(`an event has an unknown '${name}'; accepted: ${Object.keys(EVENT).join(", ")}`, operation);
      if (value === null && name !== "payload") throw this.#invalid(`${name} of an event must not be null: leave it out`, operation);
    }
    for (const name of TEXTS) {
      const value = event[name];
      if (value !== void 0) this.checkText(value, name, operation);
    }
    const { eventId = uuidv7(), eventType, payload, sagaId, aggregateType, aggregateId, headers, routingKey, partitionKey } = event;
    const availableAt = this.time(event.availableAt, "availableAt", operation);
    const occurredAt = this.time(event.occurredAt, "occurredAt", operation);
    const told = headers === void 0 ? void 0 : this.#headers(headers, operation, eventId);
    const content = this.#content(payload, operation, eventId);
    return [eventId, eventType, content, sagaId, aggregateType, aggregateId, told, routingKey, partitionKey, availableAt, occurredAt];
  }
  event(raw, operation) {
    const [eventId, eventType, payload, sagaId, aggregateType, aggregateId, headers, routingKey, partitionKey, ...more] = raw;
    const [availableAt, occurredAt, status, createdAt, claimedAt, sentAt, retryCount, deliveries, lastError, workerId] = more;
    const value = typeof payload === "string" ? this.parsed(payload, "payload", eventId, operation) : payload;
    const event = { eventId, eventType, payload: value, occurredAt, status, createdAt, retryCount, deliveries };
    if (sagaId !== null) event.sagaId = sagaId;
    if (aggregateType !== null) event.aggregateType = aggregateType;
    if (aggregateId !== null) event.aggregateId = aggregateId;
    if (headers !== null) event.headers = this.parsed(headers, "headers", eventId, operation);
    if (routingKey !== null) event.routingKey = routingKey;
    if (partitionKey !== null) event.partitionKey = partitionKey;
    if (availableAt !== null) event.availableAt = availableAt;
    if (claimedAt !== null) event.claimedAt = claimedAt;
    if (sentAt !== null) event.sentAt = sentAt;
    if (lastError !== null) event.lastError = lastError;
    if (workerId !== null) event.workerId = workerId;
    return event;
  }
  claim(raw, operation) {
    return Object.assign(this.event(raw, operation), { token: raw[19] });
  }
  /** A Date as it is now, if one is given. */
  time(value, what, operation) {
    if (value === void 0) return void 0;
    const date = takenDate(value);
    if (date instanceof Date && !Number.isNaN(date.getTime())) return date;
    throw this.#invalid(`${what} must be a valid Date`, operation);
  }
  /** An unpaired surrogate would be lost on the way. */
  checkText(value, what, operation) {
    if (typeof value !== "string") throw this.#invalid(`${what} must be a string`, operation);
    if (new RegExp("\\p{Surrogate}", "u").test(value)) throw this.#invalid(`${what} must be well-formed Unicode (it has an unpaired surrogate)`, operation);
  }
  #headers(headers, operation, eventId) {
    if (typeof headers !== "object" || Array.isArray(headers)) throw this.#invalid("headers must be an object", operation);
    return this.text(headers, "headers", operation, eventId);
  }
  #content(payload, operation, eventId) {
    if (ArrayBuffer.isView(payload)) {
      return payload instanceof Uint8Array ? payload : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    }
    return (0, import_types3.isAnyArrayBuffer)(payload) ? Buffer.from(payload) : this.text(payload, "payload", operation, eventId);
  }
  #invalid(message, operation) {
    return invalidArgument(message, operation, this.backend);
  }
};
function reasonOf(error) {
  if (isError(error)) return storable(String(error.message) || String(error.name));
  if (typeof error === "string") return storable(error);
  try {
    return storable(JSON.stringify(error) ?? String(error));
  } catch {
    return typeof error === "bigint" ? String(error) : "it cannot be told";
  }
}

// ts/kinds/outbox-calls.ts
var FILTER2 = { eventType: true, routingKey: true, partitionKey: true, sagaId: true, olderThanMs: true };
var PAGE_SIZE = 100;
var MAX_BATCH3 = 1e3;
var OutboxCalls = class {
  runner;
  backend;
  json;
  constructor(runner) {
    this.runner = runner;
    this.backend = runner.backend;
    this.json = new OutboxJson(runner.backend);
  }
  refuse(error, operation) {
    return this.runner.refuse(error, operation);
  }
  /** Of a claim what can be read. What cannot fails; behind it nothing of its key goes to the worker. */
  async readable(claimed) {
    const claims = [];
    const blocked = /* @__PURE__ */ new Set();
    const failures = [];
    for (const raw of claimed) {
      const [eventId, , , , , , , , partitionKey] = raw;
      if (partitionKey !== null && blocked.has(partitionKey)) continue;
      try {
        claims.push(this.json.claim(raw, "outbox.claim"));
      } catch (error) {
        if (partitionKey !== null) blocked.add(partitionKey);
        failures.push([[eventId, raw[19]], error]);
      }
    }
    for (const [claim, { message }] of failures) {
      this.runner.executions.warn("outbox.claim", message);
      await this.run("fail", () => ({ claims: [claim], error: message })).catch(() => void 0);
    }
    return claims;
  }
  async settle(method, claims, fields) {
    const operation = `outbox.${method}`;
    let batches;
    let more;
    let count;
    try {
      batches = batchesOf(this.#held(claims, operation));
      count = batches.reduce((sum, batch) => sum + batch.length, 0);
      more = fields(operation);
    } catch (error) {
      return await this.runner.refuse(error, operation);
    }
    const lost3 = [];
    for (const batch of batches) {
      lost3.push(...await this.run(method, () => ({ claims: batch, ...more })));
      if (method === "extend") continue;
      const { leases, whenStored: whenStored2 } = this.runner.outbox;
      whenStored2(() => leases.settled(batch, method !== "ack"));
    }
    if (count > 0 && lost3.length === count) throw this.#lost(operation, lost3);
    return { count: count - lost3.length, lost: lost3 };
  }
  /** The events that are given, by token: a worker may have been given an event again, and have both claims. */
  #held(claims, operation) {
    const held = /* @__PURE__ */ new Map();
    for (const claim of isRecord(claims) ? [claims] : listed(claims)) {
      const { eventId, token } = claim ?? {};
      this.json.checkText(eventId, "eventId of a claim", operation);
      this.json.checkText(token, "token of a claim", operation);
      const ofToken = held.get(token);
      if (ofToken === void 0) held.set(token, /* @__PURE__ */ new Set([eventId]));
      else ofToken.add(eventId);
    }
    return held;
  }
  #lost(operation, lost3) {
    const [id] = lost3;
    const what = lost3.length === 1 ? "the event is" : "all of the events are";
    const message = `${what} not this worker's any more: the lease was over and another one was given it, or it was handed back or decided about`;
    const error = errorOf("LEASE_LOST", message, { backend: this.backend, operation, ...lost3.length === 1 && { id } });
    return Object.assign(error, { lost: lost3 });
  }
  async list(take) {
    let list2 = [];
    const { events, cursor } = await this.#page((operation) => {
      const { cursor: given, ...taken2 } = take(operation);
      list2 = ["outbox", taken2.sagaId ?? null, taken2.status ?? null];
      const after = positionOf(given, list2, operation, this.backend);
      return after === void 0 ? taken2 : { ...taken2, cursor: after };
    });
    const page = { events: events.map((raw) => this.json.event(raw, "outbox.list")) };
    if (cursor !== null) page.cursor = cursorOf(list2, cursor);
    return page;
  }
  #page(take) {
    return this.run("list", (operation) => {
      const { limit = PAGE_SIZE, cursor, ...rest } = take(operation);
      return known({ ...rest, limit, after: cursor });
    });
  }
  async requeueFound(filter) {
    const operation = "outbox.requeue";
    let taken2;
    let before;
    try {
      taken2 = this.options(filter, FILTER2, operation);
      before = Date.now() - this.age(taken2.olderThanMs ?? 0, operation);
      for (const name of ["eventType", "routingKey", "partitionKey", "sagaId"]) {
        if (taken2[name] !== void 0) this.json.checkText(taken2[name], `option '${name}'`, operation);
      }
    } catch (error) {
      return await this.runner.refuse(error, operation);
    }
    const { sagaId, olderThanMs, eventType, routingKey, partitionKey } = taken2;
    const isMeant = ([, type, , , , , , routing, partition, , , , createdAt]) => (eventType === void 0 || type === eventType) && (routingKey === void 0 || routing === routingKey) && (partitionKey === void 0 || partition === partitionKey) && (olderThanMs === void 0 || createdAt.getTime() <= before);
    const time = new CallTime(this.runner, operation);
    let count = 0;
    let cursor = null;
    do {
      const after = cursor;
      const page = await time.of(
        () => this.#page(() => known({ sagaId, status: "dead_letter", limit: MAX_BATCH3, cursor: after ?? void 0 }))
      );
      const ids = page.events.filter(isMeant).map(([eventId]) => eventId);
      if (ids.length > 0) count += await time.of(() => this.run("requeue", () => ({ ids })));
      cursor = page.cursor;
    } while (cursor !== null);
    return count;
  }
  async byIds(method, given) {
    const operation = `outbox.${method}`;
    let ids;
    try {
      ids = [...new Set(listed(given))];
      for (const id of ids) this.json.checkText(id, "eventId", operation);
    } catch (error) {
      return await this.runner.refuse(error, operation);
    }
    const time = new CallTime(this.runner, operation);
    let count = 0;
    for (let at = 0; at < ids.length; at += MAX_BATCH3) {
      const batch = ids.slice(at, at + MAX_BATCH3);
      count += await time.of(() => this.run(method, () => ({ ids: batch })));
    }
    return count;
  }
  /** Goes on until there are no more. What has become old enough only meanwhile is left: others may make more of it all the time. */
  async batches(method, age, limit, more) {
    const began = performance.now();
    const time = new CallTime(this.runner, `outbox.${method}`);
    let total = 0;
    while (total < limit) {
      const batch = Math.min(MAX_BATCH3, limit - total);
      const olderThanMs = age + Math.floor(performance.now() - began);
      const count = await time.of(() => this.run(method, () => ({ ...more, olderThanMs, limit: batch })));
      total += count;
      if (count < batch) break;
    }
    return total;
  }
  age(olderThanMs, operation) {
    if (Number.isSafeInteger(olderThanMs) && olderThanMs >= 0) return olderThanMs;
    throw this.invalid("olderThanMs must be a whole number from 0 on", operation);
  }
  names(names, what, operation) {
    if (names === void 0) return void 0;
    const taken2 = this.listed(names, what, operation);
    for (const name of taken2) this.json.checkText(name, `a name of option '${what}'`, operation);
    return taken2;
  }
  listed(values, what, operation) {
    try {
      return listed(values);
    } catch (cause) {
      throw invalidArgument(`option '${what}' must be an iterable, such as an array`, operation, this.backend, cause);
    }
  }
  options(given, accepted, operation) {
    return presentOptions(given, accepted, operation, this.backend);
  }
  invalid(message, operation) {
    return invalidArgument(message, operation, this.backend);
  }
  run(method, fields, first = []) {
    const operation = OPERATIONS[`outbox.${method}`];
    let given;
    try {
      given = fields(operation.name);
    } catch (error) {
      return this.runner.refuse(error, operation.name);
    }
    return this.runner.run(operation, [...first, given]);
  }
};
function batchesOf(held) {
  const batches = [];
  let batch = [];
  let ids = /* @__PURE__ */ new Set();
  for (const [token, ofToken] of held) {
    const all2 = [...ofToken];
    for (let at = 0; at < all2.length; at += MAX_BATCH3) {
      const part = all2.slice(at, at + MAX_BATCH3);
      if (batch.length + part.length > MAX_BATCH3 || part.some((id) => ids.has(id))) {
        batches.push(batch);
        batch = [];
        ids = /* @__PURE__ */ new Set();
      }
      for (const id of part) {
        batch.push([id, token]);
        ids.add(id);
      }
    }
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

// ts/kinds/outbox-relay.ts
var import_promises2 = require("node:timers/promises");

// ts/kinds/outbox-feed.ts
var FIRST_PAUSE_MS = 100;
var LONGEST_BACKOFF_MS = 5e3;
var TOLD_EVERY_MS = 1e3;
function jittered(ms) {
  return ms * (0.8 + Math.random() * 0.4);
}
function backoff(failures) {
  return jittered(Math.min(LONGEST_BACKOFF_MS, 100 * 2 ** Math.min(failures - 1, 10)));
}
function codeOf(error) {
  return error?.code;
}
function isFinal(error) {
  return codeOf(error) === "CLOSED" || codeOf(error) === "INVALID_ARGUMENT";
}
var OutboxFeed = class {
  #counter;
  #support;
  #terms;
  /** What it has heard of the bell before its last look. */
  #heard = 0;
  #pauseMs = 0;
  #failures = 0;
  #toldAt = Number.NEGATIVE_INFINITY;
  #isPoked = false;
  #isStopped = false;
  #endWait;
  constructor(counter2, support, terms) {
    this.#counter = counter2;
    this.#support = support;
    this.#terms = terms;
  }
  /**
   * Claims until there is something; none, once it is stopped, or when there is no room.
   *
   * @param room how many may be claimed now
   * @throws what no other attempt can mend
   */
  async take(room) {
    const { pollMs, batchSize: _, ...terms } = this.#terms;
    for (; ; ) {
      if (this.#pauseMs > 0) await this.#pause();
      if (this.#isStopped) return [];
      const batchSize = room();
      if (batchSize < 1) return [];
      this.#heard = this.#support.bell.count;
      let claims;
      try {
        claims = await this.#counter.claim({ ...terms, batchSize });
        this.#failures = 0;
      } catch (error) {
        if (isFinal(error)) throw error;
        this.#failures += 1;
        this.warn("outbox.claim", error);
        this.#pauseMs = backoff(this.#failures);
        continue;
      }
      const first = Math.min(FIRST_PAUSE_MS, pollMs);
      if (claims.length === batchSize) this.#pauseMs = 0;
      else this.#pauseMs = claims.length > 0 || this.#pauseMs === 0 ? first : Math.min(this.#pauseMs * 2, pollMs);
      if (claims.length > 0) return claims;
    }
  }
  /** There may be more to claim than before. */
  poke() {
    this.#isPoked = true;
    this.#endWait?.();
  }
  stop() {
    this.#isStopped = true;
    this.#endWait?.();
  }
  /** Tells the logger, now and then. */
  warn(operation, error) {
    const now = performance.now();
    if (now - this.#toldAt < TOLD_EVERY_MS) return;
    this.#toldAt = now;
    this.#support.warn(operation, error instanceof Error ? error.message : String(error));
  }
  async #pause() {
    const isPoked = this.#isPoked;
    this.#isPoked = false;
    if (this.#isStopped || isPoked && this.#failures === 0) return;
    const since = this.#failures > 0 ? this.#support.bell.count : this.#heard;
    const wait = this.#support.bell.wait(since, jittered(this.#pauseMs));
    this.#endWait = () => wait.end(true);
    const isRung = await wait.ended;
    this.#endWait = void 0;
    this.#isPoked = false;
    if (isRung && this.#failures === 0) this.#pauseMs = Math.min(FIRST_PAUSE_MS, this.#terms.pollMs);
  }
};

// ts/kinds/outbox-relay.ts
var Context = class {
  #controller;
  #isAborted = false;
  #reason;
  get signal() {
    if (this.#controller === void 0) {
      this.#controller = new AbortController();
      if (this.#isAborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }
  get isAborted() {
    return this.#isAborted;
  }
  abort(reason) {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
};
var MAX_SETTLED = 1e3;
var OutboxRelay = class {
  workerId;
  /** Ready when it has stopped. Rejected only if it can never claim anything. */
  done;
  #counter;
  #support;
  #feed;
  #handler;
  #concurrency;
  #batchSize;
  #leaseMs;
  /** What it holds: waiting, being handled, or waiting for what becomes of it to be stored. By token and event. */
  #held = /* @__PURE__ */ new Map();
  /** What can be handled now, and those of it that have been, at the beginning. */
  #ready = [];
  /** By partition key: what is being handled, or is ready, and behind it what waits for it. */
  #chains = /* @__PURE__ */ new Map();
  #waiting = 0;
  #toAck = [];
  /** Handled, and the database does not know it yet. */
  #unsettled = 0;
  #isAcking = false;
  #isStopping = false;
  #isForced = false;
  #onChange = [];
  #statistics = { claimed: 0, acked: 0, failed: 0, lost: 0, released: 0, inFlight: 0 };
  /** @internal */
  constructor(counter2, support, handler, terms) {
    const { concurrency, signal, ...feed } = terms;
    this.workerId = terms.workerId;
    this.#counter = counter2;
    this.#support = support;
    this.#handler = handler;
    this.#concurrency = concurrency;
    this.#batchSize = terms.batchSize;
    this.#leaseMs = terms.leaseMs;
    this.#feed = new OutboxFeed(counter2, support, feed);
    const stop = () => {
      this.#abortAll(signal?.reason);
      this.#beginStop();
    };
    if (signal?.aborted === true) stop();
    else signal?.addEventListener("abort", stop, { once: true });
    this.done = support.detached(() => this.#run()).finally(() => signal?.removeEventListener("abort", stop));
    this.done.catch((error) => support.warn("outbox.relay", `the relay has ended: ${error.message}`));
  }
  /** What it has done so far. */
  get stats() {
    return { ...this.#statistics };
  }
  /**
   * Takes no more events, waits for the handlers that run, acknowledges what they have done, and hands the rest back. Safe
   * to call again.
   *
   * @param options `timeoutMs`: handlers that run longer have their signals aborted, and their events are handed back
   */
  async stop(options = {}) {
    this.#beginStop();
    const { timeoutMs } = options;
    if (timeoutMs === void 0) return await this.done.catch(() => void 0);
    const timer = setTimeout(() => {
      this.#isForced = true;
      this.#abortAll(new Error(`the relay was stopped, and the handler took longer than ${timeoutMs} ms`));
      this.#changed();
    }, timeoutMs);
    await this.done.catch(() => void 0);
    clearTimeout(timer);
  }
  /** `await using relay = store.outbox.relay(...)` */
  async [Symbol.asyncDispose]() {
    await this.stop();
  }
  async #run() {
    try {
      while (!this.#isStopping) {
        if (this.#room() < 1) await this.#change();
        else this.#accept(await this.#feed.take(() => this.#room()));
      }
    } catch (error) {
      this.#beginStop();
      if (codeOf(error) !== "CLOSED") throw error;
    } finally {
      await this.#end();
    }
  }
  /** How many events may be claimed now. Half a batch at least: many small claims cost more than a few large ones. */
  #room() {
    const { inFlight } = this.#statistics;
    if (this.#isStopping || this.#unsettled > this.#batchSize || this.#waiting * 2 > this.#batchSize) return 0;
    return Math.min(this.#batchSize, this.#concurrency + this.#batchSize - inFlight - this.#waiting);
  }
  #accept(claims) {
    const [first] = claims;
    if (first === void 0) return;
    this.#statistics.claimed += claims.length;
    const ofToken = /* @__PURE__ */ new Map();
    for (const claim of claims) {
      const held = { claim, context: new Context(), state: "waiting" };
      ofToken.set(claim.eventId, held);
      this.#waiting += 1;
      const key = claim.partitionKey;
      const chain2 = key === void 0 ? void 0 : this.#chains.get(key);
      if (chain2 !== void 0) chain2.push(held);
      else {
        this.#ready.push(held);
        if (key !== void 0) this.#chains.set(key, [held]);
      }
    }
    this.#held.set(first.token, ofToken);
    this.#support.leases.keep(first.token, [...ofToken.keys()], this.#leaseMs, {
      lost: (ids) => this.#lose(first.token, ids)
    });
    this.#start();
  }
  #start() {
    while (this.#statistics.inFlight < this.#concurrency && !this.#isStopping) {
      const held = this.#ready.shift();
      if (held === void 0) return;
      if (!this.#has(held)) this.#advance(held);
      else void this.#handle(held);
    }
  }
  async #handle(held) {
    held.state = "running";
    this.#waiting -= 1;
    this.#statistics.inFlight += 1;
    let failure;
    try {
      await this.#handler(held.claim, held.context);
    } catch (error) {
      failure = { error };
    }
    this.#statistics.inFlight -= 1;
    if (!this.#isReleased(held)) {
      held.state = "handled";
      this.#unsettled += 1;
      if (failure === void 0) this.#acknowledge(held);
      else void this.#fail(held, failure.error);
    }
    this.#advance(held);
    this.#start();
    this.#changed();
  }
  /** The next event of its key can be handled. */
  #advance({ claim: { partitionKey } }) {
    if (partitionKey === void 0) return;
    const chain2 = this.#chains.get(partitionKey);
    chain2?.shift();
    const [next] = chain2 ?? [];
    if (next === void 0) this.#chains.delete(partitionKey);
    else this.#ready.push(next);
  }
  #acknowledge(held) {
    this.#toAck.push(held);
    if (!this.#isAcking) void this.#acknowledgeAll();
  }
  /** All that have been handled meanwhile go together. */
  async #acknowledgeAll() {
    this.#isAcking = true;
    await turn();
    while (this.#toAck.length > 0) {
      const batch = this.#toAck.splice(0, MAX_SETTLED);
      const lost3 = await this.#settle("outbox.ack", batch, (claims) => this.#counter.ack(claims).then((answer) => answer.lost));
      this.#statistics.lost += lost3.length;
      this.#statistics.acked += batch.length - lost3.length;
      this.#settled(batch);
    }
    this.#isAcking = false;
    this.#changed();
  }
  async #fail(held, error) {
    const behind = this.#dropBehind(held);
    const lost3 = await this.#settle("outbox.fail", [held], ([claim]) => this.#counter.fail(claim, { error }).then(() => []));
    if (lost3.length > 0) this.#statistics.lost += 1;
    else this.#statistics.failed += 1;
    this.#statistics.released += behind.length;
    this.#forget(behind);
    this.#settled([held]);
    this.#changed();
  }
  #dropBehind({ claim }) {
    if (claim.partitionKey === void 0) return [];
    const chain2 = this.#chains.get(claim.partitionKey) ?? [];
    const behind = chain2.filter((other2) => other2.state === "waiting" && other2.claim.token === claim.token);
    if (behind.length > 0) {
      const rest = chain2.filter((other2) => !behind.includes(other2));
      this.#chains.set(claim.partitionKey, rest);
      this.#waiting -= behind.length;
      for (const other2 of behind) other2.state = "released";
    }
    return behind;
  }
  /** Says what became of events, again and again, until that is stored or their leases are lost; the ids of the lost ones. */
  async #settle(what, batch, send2) {
    const ids = () => batch.map(({ claim }) => claim.eventId);
    for (let failures = 1; ; failures++) {
      try {
        return await send2(batch.map(({ claim }) => claim));
      } catch (error) {
        if (codeOf(error) === "LEASE_LOST") return ids();
        this.#feed.warn(what, error);
        if (isFinal(error) || this.#isForced || !batch.some((held) => this.#has(held))) return ids();
        await (0, import_promises2.setTimeout)(backoff(failures));
      }
    }
  }
  #settled(batch) {
    this.#unsettled -= batch.length;
    this.#forget(batch);
    if (batch.some(({ claim }) => claim.partitionKey !== void 0)) this.#feed.poke();
    this.#changed();
  }
  /** The database says that they are somebody else's, or nobody knows. */
  #lose(token, ids) {
    const ofToken = this.#held.get(token);
    for (const id of ids) {
      const held = ofToken?.get(id);
      if (held === void 0) continue;
      ofToken?.delete(id);
      held.context.abort(new Error(`the lease of event '${id}' is lost`));
      if (held.state !== "waiting") continue;
      this.#statistics.lost += 1;
      this.#waiting -= 1;
      this.#unchain(held);
    }
    if (ofToken?.size === 0) this.#held.delete(token);
    this.#changed();
  }
  /** It is not to be handled. The first of its key leaves its place when it would be. */
  #unchain(held) {
    const { partitionKey } = held.claim;
    const chain2 = partitionKey === void 0 ? void 0 : this.#chains.get(partitionKey);
    const place = chain2?.indexOf(held) ?? -1;
    if (place > 0) chain2?.splice(place, 1);
  }
  #isReleased({ state }) {
    return state === "released";
  }
  #has({ claim }) {
    return this.#held.get(claim.token)?.has(claim.eventId) === true;
  }
  #forget(batch) {
    const dropped = /* @__PURE__ */ new Map();
    for (const { claim } of batch) {
      const ofToken = this.#held.get(claim.token);
      if (ofToken?.delete(claim.eventId) !== true) continue;
      if (ofToken.size === 0) this.#held.delete(claim.token);
      const ids = dropped.get(claim.token);
      if (ids === void 0) dropped.set(claim.token, [claim.eventId]);
      else ids.push(claim.eventId);
    }
    for (const [token, ids] of dropped) this.#support.leases.unkeep(token, ids);
  }
  #beginStop() {
    this.#isStopping = true;
    this.#feed.stop();
    this.#changed();
  }
  #abortAll(reason) {
    for (const ofToken of this.#held.values()) for (const { context } of ofToken.values()) context.abort(reason);
  }
  /** Hands back what waits, and waits for the rest. */
  async #end() {
    await this.#release("waiting");
    while (!this.#isForced && (this.#statistics.inFlight > 0 || this.#unsettled > 0)) await this.#change();
    await this.#release("running");
  }
  async #release(state) {
    const meant = [...this.#held.values()].flatMap((ofToken) => [...ofToken.values()].filter((held) => held.state === state));
    if (meant.length === 0) return;
    if (state === "waiting") this.#waiting -= meant.length;
    for (const held of meant) held.state = "released";
    this.#forget(meant);
    this.#statistics.released += meant.length;
    await this.#counter.release(meant.map(({ claim }) => claim)).catch((error) => {
      if (codeOf(error) !== "LEASE_LOST" && !isFinal(error)) this.#feed.warn("outbox.release", error);
    });
  }
  /** Ready when something has changed. */
  #change() {
    return new Promise((resolve) => this.#onChange.push(resolve));
  }
  #changed() {
    for (const resolve of this.#onChange.splice(0)) resolve();
  }
};

// ts/kinds/outbox-subscription.ts
var OutboxSubscription = class {
  #counter;
  #support;
  #feed;
  #terms;
  /** Not given yet. */
  #next = [];
  /** Given or not, and nobody has said what became of them. By token and event. */
  #held = /* @__PURE__ */ new Map();
  #stopListening;
  #isOver = false;
  /** Calls of `next` go one after the other. */
  #last = Promise.resolve();
  /** @internal */
  constructor(counter2, support, terms) {
    const { signal, workerId, batchSize, leaseMs, eventTypes, routingKeys, pollMs } = terms;
    const feed = { workerId, batchSize, leaseMs, eventTypes, routingKeys, pollMs };
    this.#counter = counter2;
    this.#support = support;
    this.#terms = feed;
    this.#feed = new OutboxFeed(counter2, support, feed);
    const stop = () => void this.return();
    this.#stopListening = () => signal?.removeEventListener("abort", stop);
    if (signal?.aborted === true) this.#isOver = true;
    else signal?.addEventListener("abort", stop, { once: true });
  }
  /** `for await (const event of subscription)` */
  [Symbol.asyncIterator]() {
    return this;
  }
  /** The next event, once there is one. */
  next() {
    const pulled = this.#last.then(() => this.#pull());
    this.#last = pulled.catch(() => void 0);
    return pulled;
  }
  /** Ends it, and hands back what it has given and what nobody has settled. */
  async return() {
    this.#isOver = true;
    this.#feed.stop();
    this.#stopListening();
    await this.#last;
    await this.#release();
    return { done: true, value: void 0 };
  }
  /** `await using`: it ends as by `return`. */
  async [Symbol.asyncDispose]() {
    await this.return();
  }
  async #pull() {
    while (!this.#isOver) {
      const claim = this.#next.shift();
      if (claim !== void 0) return { done: false, value: claim };
      try {
        this.#accept(await this.#feed.take(() => this.#terms.batchSize));
      } catch (error) {
        this.#isOver = true;
        this.#stopListening();
        throw error;
      }
    }
    return { done: true, value: void 0 };
  }
  #accept(claims) {
    const [first] = claims;
    if (first === void 0) return;
    const { token } = first;
    const ids = claims.map(({ eventId }) => eventId);
    this.#next = claims;
    this.#held.set(token, new Map(claims.map((claim) => [claim.eventId, claim])));
    this.#support.leases.keep(token, ids, this.#terms.leaseMs, {
      lost: (lost3) => this.#drop(token, lost3),
      settled: (settled3, isBack) => {
        const dropped = isBack ? [...settled3, ...this.#behind(token, settled3)] : settled3;
        this.#drop(token, dropped);
        this.#support.leases.unkeep(token, dropped);
        this.#feed.poke();
      }
    });
  }
  /** What stands behind events in their keys, in the same claim. */
  #behind(token, ids) {
    const held = this.#held.get(token);
    if (held === void 0) return [];
    const keys = /* @__PURE__ */ new Set();
    const behind = [];
    for (const { eventId, partitionKey } of held.values()) {
      if (partitionKey === void 0) continue;
      if (ids.includes(eventId)) keys.add(partitionKey);
      else if (keys.has(partitionKey)) behind.push(eventId);
    }
    return behind;
  }
  #drop(token, ids) {
    const held = this.#held.get(token);
    for (const id of ids) held?.delete(id);
    if (held?.size === 0) this.#held.delete(token);
    const dropped = new Set(ids);
    this.#next = this.#next.filter((claim) => claim.token !== token || !dropped.has(claim.eventId));
  }
  async #release() {
    const held = [...this.#held.values()].flatMap((ofToken) => [...ofToken.values()]);
    this.#next = [];
    for (const [token, ofToken] of this.#held) this.#support.leases.unkeep(token, [...ofToken.keys()]);
    this.#held.clear();
    if (held.length > 0) await this.#counter.release(held).catch(() => void 0);
  }
};

// ts/kinds/outbox-terms.ts
var import_node_crypto3 = require("node:crypto");
var import_node_os = require("node:os");
var SUBSCRIBE = {
  workerId: true,
  batchSize: true,
  leaseMs: true,
  eventTypes: true,
  routingKeys: true,
  pollMs: true,
  signal: true
};
var RELAY = { ...SUBSCRIBE, concurrency: true };
var LEASE_MS = 6e4;
var LONGEST_LEASE_MS = 6048e5;
var POLL_MS = 1e3;
var LONGEST_POLL_MS = 36e5;
var MAX_CONCURRENCY = 1e4;
function termsOf(calls, given, accepted, operation) {
  const options = calls.options(given, accepted, operation);
  const whole = (name, usual, largest) => {
    const { [name]: value = usual } = options;
    if (Number.isSafeInteger(value) && value >= 1 && value <= largest) return value;
    throw calls.invalid(`option '${name}' must be a whole number from 1 to ${largest}`, operation);
  };
  const { workerId = `${(0, import_node_os.hostname)()}:${process.pid}:${(0, import_node_crypto3.randomBytes)(4).toString("hex")}`, signal } = options;
  calls.json.checkText(workerId, "option 'workerId'", operation);
  if (workerId === "" || Buffer.byteLength(workerId) > 256 || workerId.includes("\0")) {
    throw calls.invalid("option 'workerId' must have 1 to 256 bytes of UTF-8, none of them NUL", operation);
  }
  if (signal !== void 0 && !(signal instanceof AbortSignal)) throw calls.invalid("option 'signal' must be an AbortSignal", operation);
  return {
    workerId,
    signal,
    concurrency: whole("concurrency", 1, MAX_CONCURRENCY),
    batchSize: whole("batchSize", 100, 1e3),
    leaseMs: whole("leaseMs", LEASE_MS, LONGEST_LEASE_MS),
    pollMs: whole("pollMs", POLL_MS, LONGEST_POLL_MS),
    eventTypes: calls.names(options.eventTypes, "eventTypes", operation),
    routingKeys: calls.names(options.routingKeys, "routingKeys", operation)
  };
}

// ts/kinds/outbox.ts
var INSERT = { onDuplicate: true, claim: true };
var LEASE = { workerId: true, leaseMs: true };
var CLAIM2 = {
  workerId: true,
  batchSize: true,
  leaseMs: true,
  eventTypes: true,
  routingKeys: true,
  olderThanMs: true
};
var PAGE3 = { limit: true, cursor: true };
var LEASE_MS2 = 3e5;
var SagaOutbox = class _SagaOutbox {
  #calls;
  #facet;
  /** @internal */
  constructor(runner) {
    this.#calls = new OutboxCalls(runner);
    this.#facet = new Facet(runner, "outbox");
  }
  /** How often an event is tried again before it is a dead letter (option `outbox.maxRetries`). */
  get maxRetries() {
    return this.#calls.runner.outbox.maxRetries;
  }
  /**
   * Stores events, in their order, at the end of the queue: all of them or none. In a transaction they are stored with
   * the rest of it. At most 1,000 events in one call.
   *
   * @returns with `claim`, the events that the worker has from the beginning on; otherwise nothing
   * @throws AlreadyExistsError if the id of an event is taken: `id` says which. Nothing is stored then, unless
   *   `onDuplicate` is `ignore`
   * @throws SerializationError if something cannot be kept as JSON: `path` says what
   * @throws PayloadTooLargeError if an event is larger than the backend can hold
   */
  async insert(events, options) {
    const operation = "outbox.insert";
    let given;
    let more;
    try {
      const { onDuplicate = "error", claim } = this.#calls.options(options, INSERT, operation);
      if (onDuplicate !== "error" && onDuplicate !== "ignore") {
        throw this.#calls.invalid("option 'onDuplicate' must be 'error' or 'ignore'", operation);
      }
      more = known({ ignoreDuplicates: onDuplicate === "ignore", claim: claim && this.#lease(claim, operation) });
      const all2 = isRecord(events) ? [events] : listed(events);
      given = all2.map((event) => this.#calls.json.given(event, operation));
    } catch (error) {
      return await this.#calls.refuse(error, operation);
    }
    if (given.length === 0) return [];
    const claimed = await this.#calls.run("insert", () => ({ events: given, ...more }));
    const { bell, whenStored: whenStored2 } = this.#calls.runner.outbox;
    whenStored2((isStored) => isStored ? bell.ring() : bell.ringSoon());
    return claimed.map((raw) => this.#calls.json.claim(raw, operation));
  }
  /** The event, whatever has become of it; null, if there is none (any more). */
  async get(eventId) {
    const raw = await this.#calls.run(
      "get",
      (operation) => {
        this.#calls.json.checkText(eventId, "eventId", operation);
        return {};
      },
      [eventId]
    );
    return raw === null ? null : this.#calls.json.event(raw, "outbox.get");
  }
  /** Events of a saga, in pages, the earliest first. */
  bySaga(sagaId, options) {
    return this.#calls.list((operation) => {
      this.#calls.json.checkText(sagaId, "sagaId", operation);
      return { ...this.#calls.options(options, PAGE3, operation), sagaId };
    });
  }
  /** Events, in pages, the earliest first. */
  list(options) {
    return this.#calls.list((operation) => this.#calls.options(options, { ...PAGE3, status: true }, operation));
  }
  /** Events that nobody tries to publish any more, in pages: `requeue` brings them back, `discard` removes them. */
  deadLetters(options) {
    return this.#calls.list((operation) => ({ ...this.#calls.options(options, PAGE3, operation), status: "dead_letter" }));
  }
  /** How many events are pending, those among them that wait for their time. */
  pendingCount() {
    return this.#calls.run("count", () => ({ status: "pending" }));
  }
  /**
   * Gives events that are due to one worker, in the order in which they were stored. Nobody else is given them for
   * `leaseMs`. Of the events of one `partitionKey`, one is given only if all before it are sent, or are given here, too.
   *
   * An event that is stored and cannot be read fails at once, and is not answered.
   *
   * @throws UnsupportedError in a transaction that is only sent at its end (Redis, DynamoDB)
   */
  async claim(options) {
    const claimed = await this.#calls.run("claim", (operation) => {
      const { batchSize = PAGE_SIZE, eventTypes, routingKeys, ...rest } = this.#calls.options(options, CLAIM2, operation);
      if (!(Number.isSafeInteger(batchSize) && batchSize >= 1 && batchSize <= MAX_BATCH3)) {
        throw this.#calls.invalid(`option 'batchSize' must be a whole number from 1 to ${MAX_BATCH3}`, operation);
      }
      this.#calls.json.checkText(rest.workerId, "workerId", operation);
      return known({
        leaseMs: LEASE_MS2,
        ...rest,
        limit: batchSize,
        eventTypes: this.#calls.names(eventTypes, "eventTypes", operation),
        routingKeys: this.#calls.names(routingKeys, "routingKeys", operation)
      });
    });
    return this.#calls.readable(claimed);
  }
  /**
   * Says that events are published: they are `sent`, and removed, unless `retainSentMs` keeps them. What another worker
   * has been given meanwhile is `lost`, and stays as it is. An acknowledgement that is late, and that nobody has
   * overtaken, counts.
   *
   * @throws LeaseLostError if all of them are lost: `lost` has their ids
   */
  async ack(claims) {
    const { count, lost: lost3 } = await this.#calls.settle("ack", claims, () => ({}));
    return { acked: count, lost: lost3 };
  }
  /**
   * Says that events could not be published: they are pending again after a pause, or dead letters after `maxRetries`.
   * Of the events of one `partitionKey` in a claim only the first one fails; those behind it are handed back, and are
   * `lost` to their worker.
   *
   * @throws LeaseLostError if all of them are lost: `lost` has their ids
   */
  async fail(claims, options) {
    const { count, lost: lost3 } = await this.#calls.settle("fail", claims, (operation) => {
      if (!isRecord(options) || !Object.hasOwn(options, "error")) throw this.#calls.invalid("option 'error' is missing", operation);
      const { error, ...rest } = options;
      const { retryAt } = this.#calls.options(rest, { retryAt: true }, operation);
      return known({ error: reasonOf(error), retryAt: this.#calls.json.time(retryAt, "option 'retryAt'", operation) });
    });
    return { failed: count, lost: lost3 };
  }
  /**
   * Hands events back: they are pending at once, and were not delivered. Those of the same `partitionKey` that stand
   * behind them in their claim are handed back, too.
   *
   * @throws LeaseLostError if all of them are lost: `lost` has their ids
   */
  async release(claims) {
    const { count, lost: lost3 } = await this.#calls.settle("release", claims, () => ({}));
    return { released: count, lost: lost3 };
  }
  /**
   * Lets leases last for `leaseMs` from now on.
   *
   * @throws LeaseLostError if all of them are lost: `lost` has their ids
   */
  async extend(claims, leaseMs) {
    const { count, lost: lost3 } = await this.#calls.settle("extend", claims, () => ({ leaseMs }));
    return { extended: count, lost: lost3 };
  }
  /**
   * Claims events as they come, and has `handler` publish them. What it resolves is acknowledged; if it throws, the event
   * has failed with what it threw. Of one `partitionKey` one event is handled after the other, in order; of others
   * `concurrency` at once. At most one batch is claimed ahead. Leases are renewed, also while the event loop is blocked.
   *
   * It runs until `stop()`, the `signal`, or the end of the store, in no transaction.
   *
   * @throws InvalidArgumentError if an option is wrong
   * @throws UnsupportedError in a transaction
   */
  relay(handler, options) {
    const operation = "outbox.relay";
    const { outbox } = this.#calls.runner;
    this.#refuseInTransaction(operation);
    if (typeof handler !== "function") throw this.#calls.invalid("relay takes a function", operation);
    const terms = termsOf(this.#calls, options, RELAY, operation);
    return new OutboxRelay(new _SagaOutbox(outbox.apart()), outbox, handler, terms);
  }
  /**
   * Claims events as they come, and gives them one by one: `for await (const event of store.outbox.subscribe())`. Whoever
   * publishes an event says so by `ack`, `fail` or `release`. Until then its lease is renewed. The end of the loop hands
   * back whatever was not settled; so does the `signal`.
   *
   * @throws InvalidArgumentError if an option is wrong
   * @throws UnsupportedError in a transaction
   */
  subscribe(options) {
    const operation = "outbox.subscribe";
    const { outbox } = this.#calls.runner;
    this.#refuseInTransaction(operation);
    const terms = termsOf(this.#calls, options, SUBSCRIBE, operation);
    return new OutboxSubscription(new _SagaOutbox(outbox.apart()), outbox, terms);
  }
  /** Events that somebody has had for so long, the earliest first; at most `limit` (default 100). */
  async findStuck(options) {
    const found = await this.#calls.run("findStuck", (operation) => {
      const { olderThanMs, limit = PAGE_SIZE } = this.#calls.options(options, { olderThanMs: true, limit: true }, operation);
      return { olderThanMs: this.#calls.age(olderThanMs, operation), limit };
    });
    return found.map((raw) => this.#calls.json.event(raw, "outbox.findStuck"));
  }
  /**
   * Takes events back from workers that have had them for so long: they are pending at once. The claims of those workers
   * are lost, and count as deliveries. Answers how many.
   */
  async releaseStuck(options) {
    const operation = "outbox.releaseStuck";
    let age;
    try {
      age = this.#calls.age(this.#calls.options(options, { olderThanMs: true }, operation).olderThanMs, operation);
    } catch (error) {
      return await this.#calls.refuse(error, operation);
    }
    return await this.#calls.batches("releaseStuck", age, Number.POSITIVE_INFINITY, {});
  }
  /**
   * Brings dead letters back: they are pending in their old places, with no failures and no deliveries. Answers how many
   * of the events were dead letters.
   *
   * @param which ids, or which dead letters; `{}` is all of them
   */
  async requeue(which) {
    if (isRecord(which)) return await this.#calls.requeueFound(which);
    return await this.#calls.byIds("requeue", which);
  }
  /** Removes dead letters: they are never published. Answers how many of the events were dead letters. */
  discard(ids) {
    return this.#calls.byIds("discard", ids);
  }
  /** Partition keys whose events wait behind a dead letter; none, where `onDeadLetter` is `skip`. At most `limit` (default 1,000). */
  blockedKeys(options) {
    return this.#calls.run("blockedKeys", (operation) => ({
      limit: MAX_BATCH3,
      ...this.#calls.options(options, { limit: true }, operation)
    }));
  }
  /**
   * Removes events that were sent, or became dead letters, so long ago, in batches of at most 1,000. Answers how many.
   * What was removed stays removed where a later batch fails.
   */
  async archive(options) {
    const operation = "outbox.archive";
    let age;
    let limit;
    let which;
    try {
      const taken2 = this.#calls.options(options, { olderThanMs: true, statuses: true, limit: true }, operation);
      age = this.#calls.age(taken2.olderThanMs, operation);
      limit = mostOf(taken2, operation, this.#calls.backend);
      const statuses = this.#calls.listed(taken2.statuses ?? ["sent"], "statuses", operation);
      if (statuses.length === 0 || statuses.some((status) => status !== "sent" && status !== "dead_letter")) {
        throw this.#calls.invalid("option 'statuses' must have 'sent', 'dead_letter', or both", operation);
      }
      which = { sent: statuses.includes("sent"), dead: statuses.includes("dead_letter") };
    } catch (error) {
      return await this.#calls.refuse(error, operation);
    }
    return await this.#calls.batches("archive", age, limit, which);
  }
  /**
   * Decides about an event, whoever has it: it is pending at once, sent, has failed once more, or is a dead letter.
   *
   * @param error why, for `failed` and `dead_letter`
   * @throws NotFoundError if there is none
   * @throws InvalidStateError if it is sent
   */
  async updateStatus(eventId, status, error) {
    await this.#calls.run(
      "updateStatus",
      (operation) => {
        this.#calls.json.checkText(eventId, "eventId", operation);
        return known({ status, error: error === void 0 ? void 0 : reasonOf(error) });
      },
      [eventId]
    );
  }
  /** How many events there are. */
  statistics() {
    return this.#calls.run("statistics", () => ({}));
  }
  /**
   * All events as they are stored, one by one, page by page behind the scenes: whole records for `importRecords` of another
   * store. What has expired is left out; what is stored meanwhile may be left out. Nothing is blocked.
   *
   * @throws CorruptDataError if one cannot be read, without `onUnreadable`
   */
  exportAll(options) {
    return this.#facet.exportAll(options);
  }
  /**
   * Stores events as they are: versions, dates, and all else. What has expired is counted, and not stored.
   *
   * @throws TransferError if one of them could not be stored: all others are
   */
  importRecords(records, options) {
    return this.#facet.importRecords(records, options);
  }
  /** How many events there are; about, where counting would read everything. */
  count() {
    return this.#facet.countOf("outbox");
  }
  #refuseInTransaction(operation) {
    const { backend, runner } = this.#calls;
    if (!runner.outbox.isInTransaction) return;
    const message = `${operation} is not part of a transaction: call it outside`;
    throw errorOf("UNSUPPORTED", message, { backend, operation });
  }
  #lease(claim, operation) {
    const { workerId, leaseMs = LEASE_MS2 } = this.#calls.options(claim, LEASE, operation);
    this.#calls.json.checkText(workerId, "workerId", operation);
    return { workerId, leaseMs };
  }
};

// ts/clients/common.ts
function membersOf(client) {
  return typeof client === "object" && client !== null || typeof client === "function" ? client : void 0;
}
function hasMethods(members, ...names) {
  return names.every((name) => typeof members[name] === "function");
}
function otherDialect(library, dialect, accepted = "PostgreSQL and SQLite") {
  return invalidArgument(`this ${library} client is for ${String(dialect)}; accepted are ${accepted}`, "open");
}
function cells(rows) {
  return rows.map((row) => Object.values(row));
}
function wholeNumbers(values) {
  return values.map((value) => typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : value);
}
function isolationLevel(isolation) {
  return isolation.replace(/[^a-z ]/gi, "");
}
function rolledBack() {
  const message = "a statement of the transaction has failed, so PostgreSQL has rolled it back instead of committing it";
  return Object.assign(new Error(message), { code: "25P02" });
}
async function committable(backend, query, work) {
  const result = await work();
  if (backend === "postgres") await query("select 1", []);
  return result;
}
function withLiveTransaction(carrier, isTransaction2) {
  return Object.defineProperty(carrier, "isTransaction", { get: isTransaction2, enumerable: true });
}
var PROBE = "savepoint sagastore; release savepoint sagastore";
function openness(run4, known4 = () => void 0) {
  const asked = /* @__PURE__ */ new WeakSet();
  let asking;
  return (scope) => {
    if (asking !== void 0) return asking;
    const isKnown = known4();
    if (isKnown === true || asked.has(scope)) return true;
    asking = isInTransaction(run4);
    const answered = (isOpen) => {
      asking = void 0;
      if (isOpen && isKnown === void 0) asked.add(scope);
    };
    asking.then(answered, () => answered(false));
    return asking;
  };
}
async function isInTransaction(run4) {
  try {
    await run4(PROBE);
    return true;
  } catch (error) {
    const { code } = error;
    if (code === "25P01") return false;
    if (code === "25P02") return true;
    throw error;
  }
}

// ts/clients/dynamodb.ts
var import_node_module = require("node:module");
var import_node_path = require("node:path");

// ts/clients/dynamodb-items.ts
var ACTIONS = ["Put", "Delete", "Update", "ConditionCheck"];
var TYPES = /* @__PURE__ */ new Set(["S", "N", "B", "SS", "NS", "BS", "M", "L", "BOOL", "NULL"]);
function isTransactItem(item) {
  const members = membersOf(item);
  return members !== void 0 && ACTIONS.some((name) => typeof membersOf(members[name])?.TableName === "string");
}
function actionOf(item) {
  return ACTIONS.map((name) => item[name]).find((action) => action !== void 0);
}
function summaryOf(items, table) {
  return items.map((item) => {
    const action = actionOf(item);
    const attributes = action?.Item ?? action?.Key ?? {};
    const ofTable = (name) => {
      const value = action?.TableName === table ? untyped(attributes[name]) : void 0;
      return typeof value === "string" ? value : null;
    };
    const set = item.Update?.ExpressionAttributeValues ?? {};
    return { id: ofTable("id"), part: ofTable("part"), bytes: sizeOf2(attributes) + sizeOf2(set) };
  });
}
function addItem(items, item, document) {
  items.push(document.said ?? shapeOf(items) ?? document.byDefault ? inDocumentShape(item) : item);
}
function shapeOf(items) {
  const action = items.map(actionOf).find((action2) => action2 !== void 0);
  if (action === void 0) return void 0;
  const values = Object.values(action.Item ?? action.Key ?? {});
  return values.some((value) => typeof value !== "object" || value instanceof Uint8Array);
}
var WITH_VALUES = ["Item", "Key", "ExpressionAttributeValues"];
function inDocumentShape(item) {
  const converted = Object.entries(item).map(([name, action]) => {
    const plain2 = { ...action };
    for (const member of WITH_VALUES) if (action[member] !== void 0) plain2[member] = plainValues(action[member]);
    return [name, plain2];
  });
  return Object.fromEntries(converted);
}
function plainValues(attributes) {
  return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, plainValue(value)]));
}
function plainValue(value) {
  const { S, N, B, L, M } = value;
  if (L !== void 0) return L.map(plainValue);
  if (M !== void 0) return plainValues(M);
  if (B?.byteLength === 0) return new DataView(new ArrayBuffer(0));
  return N === void 0 ? S ?? B : Number(N);
}
function untyped(value) {
  const entries = typeof value === "object" && value !== null && !(value instanceof Uint8Array) ? Object.entries(value) : [];
  const [only, second] = entries;
  return only !== void 0 && second === void 0 && TYPES.has(only[0]) ? only[1] : value;
}
function sizeOf2(value) {
  if (typeof value === "string") return value.length;
  if (value instanceof Uint8Array) return value.byteLength;
  if (value instanceof Set || Array.isArray(value)) return [...value].reduce((sum, one2) => sum + sizeOf2(one2), 0);
  if (typeof value !== "object" || value === null) return 1;
  return Object.entries(value).reduce((sum, [name, typed]) => sum + name.length + attributeSize(typed), 0);
}
function attributeSize(typed) {
  const isNumber = typeof typed === "number" || typeof typed?.N === "string";
  return isNumber ? 1 + Math.floor(String(untyped(typed)).length / 2) : sizeOf2(untyped(typed));
}

// ts/clients/dynamodb.ts
var SDK = "@aws-sdk/client-dynamodb";
var DOCUMENTS = "@aws-sdk/lib-dynamodb";
var recognizeDynamoDB = (client) => {
  const members = membersOf(client);
  if (members === void 0 || !hasMethods(members, "send", "destroy") || membersOf(members.middlewareStack) === void 0) return void 0;
  return membersOf(members.config)?.serviceId === "DynamoDB" ? clientCarrier(client) : void 0;
};
function clientCarrier(client) {
  let found;
  const findCommands = () => {
    found ??= { commands: commandsFor(client) };
    return found.commands;
  };
  const methods = client;
  return {
    backend: "dynamodb",
    // Only document clients are made `from` another one.
    library: typeof membersOf(client.constructor)?.from === "function" ? DOCUMENTS : SDK,
    isTransaction: false,
    isBuffered: false,
    check() {
      if (findCommands() !== void 0 || typeof methods.putItem === "function") return;
      const message = `${SDK}, which this client needs for its commands, cannot be found from sagastore or from the application`;
      throw invalidArgument(`${message}: install it there, or give a client with methods (new DynamoDB(...) of it)`, "open", "dynamodb");
    },
    send(method, args) {
      const [name, input, wantsDate] = args;
      if (method !== "send") throw new TypeError(`no method ${method}`);
      return send(client, findCommands(), name, input, wantsDate);
    },
    takesUnits: true
  };
}
async function send(client, commands, name, input, wantsDate) {
  const Command = commands?.[`${name}Command`];
  if (Command === void 0) {
    const method = client[`${name[0]?.toLowerCase()}${name.slice(1)}`];
    if (method === void 0) throw new TypeError(`the client has no method for ${name}`);
    return { output: withoutMetadata(await method.call(client, input)) };
  }
  const command = new Command(input);
  let date;
  if (wantsDate && client.config.cacheMiddleware !== true) {
    const middleware = (next) => async (args) => {
      const done = await next(args);
      date = done.response?.headers?.date;
      return done;
    };
    command.middlewareStack.add(middleware, { step: "deserialize", name: "sagastoreDate" });
  }
  const output = withoutMetadata(await client.send(command));
  return { output, ...date !== void 0 && { date } };
}
function withoutMetadata({ $metadata, ...output }) {
  return output;
}
function commandsFor(client) {
  const places = [__filename, process.argv[1], (0, import_node_path.join)(process.cwd(), "index.js")];
  const found = places.flatMap((place) => {
    try {
      return place === void 0 ? [] : [(0, import_node_module.createRequire)(place)(SDK)];
    } catch {
      return [];
    }
  });
  return found.find((commands) => commands.DynamoDBClient !== void 0 && client instanceof commands.DynamoDBClient) ?? found[0];
}
var recognizeDynamoDBTransaction = (transaction3) => {
  const items = () => Array.isArray(transaction3) ? transaction3 : membersOf(transaction3)?.TransactItems;
  if (!Array.isArray(items()) || !items().every(isTransactItem)) return void 0;
  const { document } = transaction3;
  return {
    backend: "dynamodb",
    library: "TransactItems",
    isTransaction: true,
    isBuffered: true,
    send(method, args, home) {
      const isDocument = { said: document, byDefault: home?.library === DOCUMENTS };
      switch (method) {
        case "collected":
          return summaryOf(items(), args[0]);
        case "push":
          return addItem(items(), args[0], isDocument);
        default:
          if (home !== void 0) return home.send(method, args);
          throw new TypeError(`no method ${method}`);
      }
    }
  };
};

// ts/clients/failure.ts
var DEPTH = 8;
var SQLITE_CODES = {
  5: "SQLITE_BUSY",
  6: "SQLITE_LOCKED",
  8: "SQLITE_READONLY",
  11: "SQLITE_CORRUPT",
  13: "SQLITE_FULL",
  18: "SQLITE_TOOBIG",
  19: "SQLITE_CONSTRAINT",
  26: "SQLITE_NOTADB"
};
var SOCKET_CODES = {
  CONNECT_TIMEOUT: "ETIMEDOUT",
  CONNECTION_ENDED: "CONNECTION_CLOSED",
  CONNECTION_DESTROYED: "CONNECTION_CLOSED"
};
var PRISMA_SOCKET_CODES = {
  DatabaseNotReachable: "ECONNREFUSED",
  SocketTimeout: "ETIMEDOUT",
  ConnectionClosed: "CONNECTION_CLOSED",
  P1001: "ECONNREFUSED",
  P1002: "ETIMEDOUT",
  P1008: "ETIMEDOUT",
  P1017: "CONNECTION_CLOSED",
  P2024: "ETIMEDOUT"
};
var WORDS = [
  // pg, ioredis, node-redis, knex
  [/timeout exceeded when trying to connect|due to connection timeout|^ConnectionTimeoutError|^KnexTimeoutError/, "ETIMEDOUT"],
  [/^\w+: Connection terminated|is not queryable|after calling end on the pool/, "CONNECTION_CLOSED"],
  [/^\w+: Connection is closed|^(?:SocketClosedUnexpectedly|ClientClosed|ClientOffline|DisconnectsClient)Error/, "CONNECTION_CLOSED"]
];
function describeClientError(error) {
  try {
    return describe2(error);
  } catch {
    return { name: "Error", message: "the client threw something that cannot be read", labels: [] };
  }
}
function describe2(error) {
  const chain2 = errorsOf(error);
  const coded = chain2.map((fields2) => ({ fields: fields2, found: codeOf2(fields2) }));
  const best = coded.find(({ found }) => found?.isOfDatabase) ?? coded.find(({ found }) => found !== void 0);
  const fields = best?.fields ?? chain2[0];
  const labels = chain2.flatMap(labelsOf);
  if (fields === void 0) return { name: "Error", message: String(error), labels };
  return {
    name: chain2.slice(chain2.indexOf(fields)).concat(chain2).map(className).find(isTelling) ?? "Error",
    message: best?.found?.message ?? text(fields.message) ?? chain2.map((one2) => text(one2.message)).find(Boolean) ?? "no message",
    ...best?.found && { code: best.found.code },
    labels: [...new Set(labels)]
  };
}
function errorsOf(error, depth = 0, seen = /* @__PURE__ */ new Set()) {
  if (typeof error !== "object" && typeof error !== "function" || error === null || seen.has(error) || depth > DEPTH) return [];
  seen.add(error);
  const fields = error;
  const parts = Array.isArray(fields.errors) ? fields.errors : [];
  const inner = [fields.cause, fields.lastNodeError, ...parts].flatMap((part) => errorsOf(part, depth + 1, seen));
  return [fields, ...inner];
}
function codeOf2(fields) {
  for (const find of [prismaCode, redisCode, mongoCode, awsCode, nodeSqliteCode, plainCode, codeOfWords]) {
    const found = find(fields);
    if (found !== void 0) return found;
  }
  return void 0;
}
function prismaCode({ name, code, meta, message }) {
  if (typeof code !== "string" || !/^P\d{4}$/.test(code) || !String(name).startsWith("Prisma")) return void 0;
  const { code: original, message: said, driverAdapterError } = object(meta);
  const cause = object(object(driverAdapterError).cause);
  const found = text(cause.originalCode) ?? text(cause.code) ?? text(original);
  if (found === void 0 || found === "N/A")
    return {
      code: PRISMA_SOCKET_CODES[String(cause.kind)] ?? PRISMA_SOCKET_CODES[code] ?? code,
      message: text(message),
      isOfDatabase: false
    };
  return {
    code: sqliteName(found),
    message: text(cause.originalMessage) ?? text(said) ?? text(message),
    isOfDatabase: true
  };
}
function redisCode(fields) {
  if (!/^(?:ReplyError|ErrorReply|SimpleError|BlobError|MultiErrorReply)$/.test(className(fields))) return void 0;
  const code = /^-?([A-Z][A-Z0-9]*)\b/.exec(text(fields.message) ?? "")?.[1];
  return code === void 0 ? void 0 : { code, isOfDatabase: true };
}
function mongoCode({ name, code }) {
  if (typeof name !== "string" || !name.startsWith("Mongo")) return void 0;
  if (typeof code === "number" || typeof code === "string") return { code: String(code), isOfDatabase: true };
  return void 0;
}
function awsCode({ name, $metadata, $fault }) {
  if (typeof name !== "string" || name === "Error" || $metadata === void 0 && $fault === void 0) return void 0;
  return { code: name, isOfDatabase: true };
}
function nodeSqliteCode({ code, errcode }) {
  if (code !== "ERR_SQLITE_ERROR") return void 0;
  return { code: typeof errcode === "number" ? sqliteName(errcode) : "SQLITE_ERROR", isOfDatabase: true };
}
function plainCode({ code }) {
  if (typeof code === "number") return { code: String(code), isOfDatabase: false };
  if (typeof code !== "string" || code === "") return void 0;
  const isOfDatabase = /^(?:[0-9A-Z]{5}|SQLITE_\w+)$/.test(code) && !/^E[A-Z]{4}$/.test(code);
  return { code: SOCKET_CODES[code] ?? code, isOfDatabase };
}
function codeOfWords(fields) {
  const words2 = `${className(fields)}: ${text(fields.message) ?? ""}`;
  const code = WORDS.find(([pattern]) => pattern.test(words2))?.[1];
  return code === void 0 ? void 0 : { code, isOfDatabase: false };
}
function sqliteName(code) {
  if (typeof code === "string") return code;
  return SQLITE_CODES[code & 255] ?? "SQLITE_ERROR";
}
function className({ name, constructor: type }) {
  if (typeof name === "string" && isTelling(name)) return name;
  return typeof type === "function" ? type.name : "Error";
}
function isTelling(name) {
  return !["", "Error", "error", "AggregateError", "Object"].includes(name);
}
function labelsOf({ errorLabels, errorLabelSet }) {
  const labels = errorLabels ?? errorLabelSet;
  const list2 = Array.isArray(labels) || labels instanceof Set ? [...labels] : [];
  return list2.filter((label) => typeof label === "string");
}
function object(value) {
  return typeof value === "object" && value !== null ? value : {};
}
function text(value) {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value : void 0;
}

// ts/clients/redis.ts
function keyOf2(command) {
  return command[0] === "EVAL" || command[0] === "EVALSHA" ? command[3] : command[1];
}
function words(command) {
  return command.map(
    (word) => typeof word === "string" || Buffer.isBuffer(word) ? word : Buffer.from(word.buffer, word.byteOffset, word.byteLength)
  );
}
function keptWords(command) {
  return command.map((word) => typeof word === "string" ? word : Buffer.from(word));
}
function failed(error) {
  return { error: describeClientError(error) };
}
async function settled(commands, call2) {
  const reply = async (command) => {
    try {
      return await call2(command);
    } catch (error) {
      return failed(error);
    }
  };
  return await Promise.all(commands.map(reply));
}
function alreadyExecuted(library) {
  return errorOf("CLOSED", `this multi() of ${library} has been executed already`, { backend: "redis" });
}

// ts/clients/ioredis.ts
var recognizeIoredis = (client) => {
  const members = membersOf(client);
  if (members === void 0 || !hasMethods(members, "callBuffer", "sendCommand", "multi", "defineCommand")) return void 0;
  if (members.isPipeline === true) return Array.isArray(members._queue) ? multiCarrier(client) : void 0;
  if (typeof members.status !== "string" || typeof members.isCluster !== "boolean") return void 0;
  return clientCarrier2(client);
};
function clientCarrier2(client) {
  return {
    backend: "redis",
    library: "ioredis",
    isTransaction: false,
    isBuffered: false,
    isOneServer: !client.isCluster,
    send(method, args) {
      if (method === "one") return one(client, args);
      if (method === "nodes") return primaries(client);
      if (method === "transact") return transact(client, args[0]);
      const [commands, node] = args;
      const on = node === void 0 ? client : nodesOf(client).find((one2) => nameOf(one2) === node);
      if (on === void 0) throw Object.assign(new Error(`${node} has left the cluster`), { code: "ECONNRESET" });
      if (client.stream !== void 0) writeTogether(client.stream);
      return settled(commands, (command) => call(on, words(command)));
    },
    takesUnits: true
  };
}
function one(client, command) {
  if (client.stream !== void 0) writeTogether(client.stream);
  return call(client, words(command));
}
function writeTogether(stream) {
  if (stream.writableCorked > 0) return;
  stream.cork();
  process.nextTick(() => stream.uncork());
}
function call(on, command) {
  if (!on.options.keyPrefix) return on.callBuffer(...command);
  const bare = { options: {}, isPipeline: true, sendCommand: (made) => on.sendCommand(made) };
  return on.callBuffer.apply(bare, command);
}
async function primaries(client) {
  if (!client.isCluster) return [null];
  if (nodesOf(client).length === 0) await client.callBuffer("PING");
  return nodesOf(client).map(nameOf);
}
function nodesOf(client) {
  return client.nodes?.("master") ?? [];
}
function nameOf({ options }) {
  return `${options.host}:${options.port}`;
}
function multiCarrier(multi) {
  const isOpen = () => multi._transactions > 0;
  if (!isOpen() && !hasExec(multi)) {
    throw invalidArgument("an ioredis pipeline() is no transaction: use multi()", "withTransaction", "redis");
  }
  return {
    backend: "redis",
    library: "ioredis",
    isTransaction: true,
    isBuffered: true,
    send(method, args) {
      if (method === "queued") return { cluster: multi.isCluster, key: firstKey(multi) };
      for (const command of args[0]) queue(multi, keptWords(command));
      return null;
    },
    check() {
      if (!isOpen()) throw alreadyExecuted("ioredis");
    }
  };
}
function hasExec({ _queue }) {
  return _queue.some(({ name }) => name === "exec");
}
function firstKey({ _queue }) {
  for (const command of _queue) {
    const [key] = command.getKeys();
    if (key !== void 0) return key;
  }
  return null;
}
function queue(multi, [name, ...rest]) {
  call(multi, [String(name).toLowerCase(), ...rest]);
}
async function transact(client, commands) {
  const multi = client.multi();
  for (const command of commands) queue(multi, words(command));
  const replies = await multi.exec().catch((error) => {
    throw error?.previousErrors?.[0] ?? error;
  });
  return replies?.map(([error, reply]) => error ? failed(error) : reply) ?? null;
}

// ts/clients/mongodb.ts
var import_promises4 = require("node:timers/promises");
var PLAIN = { promoteBuffers: true, promoteLongs: true, promoteValues: true, readPreference: "primary" };
var LIBRARY = "mongodb";
var COMMIT_PAUSE_MS = 50;
var TOGETHER_MS = 3e4;
var recognizeMongo = (client) => {
  const members = membersOf(client);
  if (members === void 0) return void 0;
  if (hasMethods(members, "startTransaction", "commitTransaction", "abortTransaction", "inTransaction", "endSession")) {
    return sessionCarrier(client);
  }
  if (hasMethods(members, "db", "startSession", "withSession", "close")) return clientCarrier3(client);
  if (hasMethods(members, "command", "collection", "aggregate", "admin") && typeof members.databaseName === "string") {
    const db = client;
    return clientCarrier3(db.client, db.databaseName);
  }
  return void 0;
};
function clientCarrier3(client, database) {
  return {
    backend: "mongodb",
    library: LIBRARY,
    database,
    isTransaction: false,
    isBuffered: false,
    send(method, args) {
      const [first, second, third] = args;
      if (method === "hello") return hello(client, databaseOf(client, first, database));
      const db = databaseOf(client, second, database);
      if (method === "together") return together(client, db, first, third);
      return run(db, first);
    },
    begin: (work, options) => transaction(client, work, options)
  };
}
function sessionCarrier(session) {
  const { client } = session;
  const check = () => {
    if (session.inTransaction()) return;
    throw invalidArgument(
      "the ClientSession is not in a transaction: call startTransaction first, or use its withTransaction",
      "withTransaction",
      "mongodb"
    );
  };
  let last2 = Promise.resolve();
  return {
    backend: "mongodb",
    library: LIBRARY,
    isTransaction: true,
    isBuffered: false,
    check,
    send(method, args, home) {
      const [first, second] = args;
      const database = home?.database;
      if (method === "hello") return hello(client, databaseOf(client, first, database));
      const db = databaseOf(client, second, database);
      if (method === "outside") return run(db, first);
      const result = last2.then(() => {
        check();
        return run(db, first, session);
      });
      last2 = result.catch(() => void 0);
      return result;
    }
  };
}
function databaseOf(client, wanted, byDefault) {
  return client.db(wanted ?? byDefault);
}
async function run(db, command, session) {
  const answer = await db.command(command, session === void 0 ? PLAIN : { ...PLAIN, session });
  if (answer.$clusterTime === void 0 && answer.operationTime === void 0) return answer;
  const { $clusterTime, operationTime, ...own } = answer;
  return own;
}
var greetings = /* @__PURE__ */ new WeakMap();
function hello(client, db) {
  const underWay = greetings.get(client) ?? /* @__PURE__ */ new Map();
  greetings.set(client, underWay);
  let asked = underWay.get(db.databaseName);
  if (asked === void 0) {
    asked = greet(db).finally(() => underWay.delete(db.databaseName));
    underWay.set(db.databaseName, asked);
  }
  return asked;
}
async function greet(db) {
  const { msg, setName, logicalSessionTimeoutMinutes, localTime } = await db.command({ hello: 1 }, PLAIN);
  const { w, journal, wtimeoutMS } = db.writeConcern ?? {};
  return {
    database: db.databaseName,
    hello: defined({ msg, setName, logicalSessionTimeoutMinutes, localTime }),
    writeConcern: defined({ w, journal, wtimeoutMS }),
    readConcern: defined({ level: db.readConcern?.level })
  };
}
function defined(members) {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== void 0));
}
var Refused = class extends Error {
  constructor(answers) {
    super("a statement of the transaction was refused");
    this.answers = answers;
  }
  answers;
};
async function together(client, db, commands, writeConcern) {
  const work = async (session) => {
    const answers = [];
    for (const command of commands) {
      const answer = await run(db, command, session);
      answers.push(answer);
      if (answer.writeErrors !== void 0) throw new Refused(answers);
    }
    return answers;
  };
  try {
    return await transaction(client, work, { timeoutMs: TOGETHER_MS }, { writeConcern });
  } catch (error) {
    if (error instanceof Refused) return error.answers;
    throw error;
  }
}
async function transaction(client, work, { timeoutMs }, more = {}) {
  const session = client.startSession();
  try {
    session.startTransaction({ readPreference: "primary", maxCommitTimeMS: timeoutMs, ...more });
    let result;
    try {
      result = await work(session);
    } catch (error) {
      await session.abortTransaction().catch(() => void 0);
      throw error;
    }
    await commit(session, performance.now() + timeoutMs);
    return result;
  } finally {
    await session.endSession();
  }
}
async function commit(session, until) {
  for (; ; ) {
    try {
      await session.commitTransaction();
      return;
    } catch (error) {
      const { code, hasErrorLabel } = error;
      const isOpen = hasErrorLabel?.call(error, "UnknownTransactionCommitResult") === true;
      if (!isOpen || code === 50 || performance.now() + COMMIT_PAUSE_MS > until) throw error;
      await (0, import_promises4.setTimeout)(COMMIT_PAUSE_MS);
    }
  }
}

// ts/clients/node-redis.ts
var AS_BUFFERS = { typeMapping: { 36: Buffer } };
var recognizeNodeRedis = (client) => {
  const members = membersOf(client);
  if (members === void 0) return void 0;
  if (hasMethods(members, "addCommand", "execTyped", "execAsPipeline", "exec")) return multiCarrier2(client);
  if (!hasMethods(members, "multi", "sendCommand", "withTypeMapping")) return void 0;
  return clientCarrier4(client, callsOf(client, members), members);
};
function callsOf(client, members) {
  if (hasMethods(members, "nodeClient")) {
    return {
      one: (args) => sendToCluster(client, args),
      call: (commands, node) => callCluster(client, commands, node)
    };
  }
  if (hasMethods(members, "use", "getMasterNode")) {
    const send3 = (one2, args) => one2.sendCommand(false, args, AS_BUFFERS);
    return {
      one: (args) => client.use((one2) => send3(one2, args)),
      call: (commands) => client.use((one2) => settled(commands, (args) => send3(one2, args)))
    };
  }
  const send2 = (one2, args) => one2.sendCommand(args, AS_BUFFERS);
  if (hasMethods(members, "execute")) {
    return {
      one: (args) => client.execute((one2) => send2(one2, args)),
      call: (commands) => client.execute((one2) => settled(commands, (args) => send2(one2, args)))
    };
  }
  return {
    one: (args) => send2(client, args),
    call: (commands) => settled(commands, (args) => send2(client, args))
  };
}
function sendToCluster(cluster, args) {
  return cluster.sendCommand(keyOf2(args), false, args, AS_BUFFERS);
}
async function callCluster(cluster, commands, node) {
  if (node === void 0) return settled(commands, (args) => sendToCluster(cluster, args));
  const found = cluster.masters.find(({ address }) => address === node);
  if (found === void 0) throw Object.assign(new Error(`${node} has left the cluster`), { code: "ECONNRESET" });
  const client = await cluster.nodeClient(found);
  return settled(commands, (args) => client.sendCommand(args, AS_BUFFERS));
}
function clientCarrier4(client, { one: one2, call: call2 }, members) {
  return {
    backend: "redis",
    library: "redis",
    isTransaction: false,
    isBuffered: false,
    isOneServer: members.masters === void 0,
    send(method, args) {
      if (method === "one") return one2(words(args));
      if (method === "transact") return transact2(client.multi(), args[0].map(words));
      if (method === "nodes") return members.masters?.map(({ address }) => address) ?? [null];
      return call2(args[0].map(words), args[1]);
    },
    takesUnits: true
  };
}
function multiCarrier2(multi) {
  const cluster = multi.addCommand.length === 4;
  let key = null;
  let isExecuted = false;
  const onReply = (reply) => {
    isExecuted = true;
    return reply;
  };
  return {
    backend: "redis",
    library: "redis",
    isTransaction: true,
    isBuffered: true,
    send(method, args) {
      if (method === "queued") return { cluster, key };
      for (const command of args[0].map(keptWords)) {
        key ??= keyOf2(command) ?? null;
        queue2(multi, command, onReply);
      }
      return null;
    },
    check() {
      if (isExecuted) throw alreadyExecuted("redis");
    }
  };
}
function queue2(multi, command, onReply) {
  if (multi.addCommand.length === 4) multi.addCommand(keyOf2(command), false, command, onReply);
  else if (multi.addCommand.length === 3) multi.addCommand(false, command, onReply);
  else multi.addCommand(command, onReply);
}
async function transact2(multi, commands) {
  for (const command of commands) queue2(multi, command);
  try {
    return await multi.exec();
  } catch (error) {
    const { replies } = error;
    if (!Array.isArray(replies)) throw error;
    return replies.map((reply) => reply instanceof Error ? failed(reply) : reply);
  }
}

// ts/clients/values.ts
var CHANGES_VALUES = "CLIENT_CHANGES_VALUES";
var AS_SENT = {
  getTypeParser: (_oid, format) => format === "binary" ? refuseBinary : asItIs
};
var asItIs = (value) => value;
function refuseBinary() {
  throw Object.assign(new Error("this pg client has `binary: true`, with which pg itself loses bytes"), { code: CHANGES_VALUES });
}
var TEXT = ' {"\xE9": ["\\\\x41", null]} ';
var NUMBER = 4294967297;
var BYTES = Buffer.from([0, 1, 39, 92, 128, 255]);
var SQL = "select $1::text as t, 'sagastore'::varchar as v, $2::bigint as n, encode($3::bytea, 'hex') as b";
var proofs = /* @__PURE__ */ new WeakMap();
function prove(owner, { library, query }) {
  const known4 = proofs.get(owner);
  if (known4 !== void 0) return known4 === "proven" ? void 0 : known4;
  const asked = ask(library, query).then(
    () => void proofs.set(owner, "proven"),
    (error) => {
      proofs.delete(owner);
      throw error;
    }
  );
  proofs.set(owner, asked);
  return asked;
}
async function ask(library, query) {
  let row;
  try {
    row = (await query(SQL, [TEXT, NUMBER, BYTES]))[0];
  } catch (error) {
    const { code, message } = describeClientError(error);
    throw code === void 0 || code.startsWith("22") ? changing(library, message) : error;
  }
  const [text2, varchar, number, bytes] = row ?? [];
  const wrong = [
    text2 !== TEXT && `text (${JSON.stringify(TEXT)} has become ${shown(text2)})`,
    varchar !== "sagastore" && `varchar ('sagastore' has become ${shown(varchar)})`,
    String(number) !== String(NUMBER) && `bigint (${NUMBER} has become ${shown(number)})`,
    bytes !== BYTES.toString("hex") && `bytea (${BYTES.toString("hex")} has become ${shown(bytes)})`
  ].filter(Boolean);
  if (wrong.length > 0) throw changing(library, wrong.join(", "));
}
function changing(library, what) {
  const message = `this ${library} client changes values on their way: ${what}; look at its type parsers, serializers, transforms and plugins`;
  return Object.assign(new Error(message), { code: CHANGES_VALUES });
}
function shown(value) {
  try {
    return (typeof value === "string" ? JSON.stringify(value) : `${typeof value} ${String(value)}`).slice(0, 60);
  } catch {
    return typeof value;
  }
}

// ts/clients/carrier.ts
function sqlCarrier(backend, client) {
  const { owner } = client;
  const carry = (how, sql, values) => {
    const proof = owner === void 0 ? void 0 : prove(owner, client);
    return proof === void 0 ? client[how](sql, values) : proof.then(() => client[how](sql, values));
  };
  return {
    backend,
    library: client.library,
    isTransaction: client.isTransaction,
    isBuffered: false,
    ...client.isSynchronous === void 0 ? {} : { isSynchronous: client.isSynchronous },
    send(method, args) {
      const [sql, values] = args;
      switch (method) {
        case "query":
          return carry(method, sql, values);
        case "execute":
          return carry(method, sql, values);
        case "rows":
          return client.rows(sql, values);
        default:
          throw new TypeError(`no method ${method}`);
      }
    },
    ...client.begin === void 0 ? {} : { begin: client.begin },
    ...client.check === void 0 ? {} : { check: client.check },
    ...client.join === void 0 ? {} : { join: client.join },
    ...client.held === void 0 ? {} : { held: client.held },
    ...client.isOpen === void 0 ? {} : { isOpen: client.isOpen }
  };
}

// ts/clients/handle.ts
var import_node_async_hooks = require("node:async_hooks");
var guards = /* @__PURE__ */ new WeakMap();
var scopes = new import_node_async_hooks.AsyncLocalStorage();
function guardOf(client) {
  return guards.get(client);
}
function guardHandle(handle, isInTransaction2, run4) {
  const guard = guards.get(handle) ?? new Guard(isInTransaction2, run4);
  guards.set(handle, guard);
  return guard;
}
function shareGuard(handle, ...others) {
  const guard = guards.get(handle);
  if (guard !== void 0) for (const other2 of others) guards.set(other2, guard);
}
function enterHandle(client) {
  return guards.get(client)?.enter();
}
var Scope = class {
  isOpen = true;
  guard;
  /** The scope around it: of another handle, or of the same one. */
  outer;
  constructor(guard, outer) {
    this.guard = guard;
    this.outer = outer;
  }
  run(work) {
    return scopes.run(this, work);
  }
  leave() {
    this.isOpen = false;
    this.guard.left(this);
  }
  isInside(scope) {
    return this === scope || this.outer?.isInside(scope) === true;
  }
};
var Guard = class {
  #ask;
  #run;
  /** The outermost open scope, and those inside it. */
  #open = [];
  /** Of operations in this turn of the microtasks. */
  #attempt;
  constructor(ask2, run4) {
    this.#run = run4;
    this.#ask = () => {
      try {
        return ask2();
      } catch {
        return false;
      }
    };
  }
  get isInTransaction() {
    return this.#ask();
  }
  get isInScope() {
    const scope = this.#open[0];
    return scope !== void 0 && scopes.getStore()?.isInside(scope) === true;
  }
  enter() {
    if (this.#open.length > 0 && !this.isInScope) {
      throw refusal("another withTransaction is under way on this handle; one transaction at a time, or a handle for each");
    }
    const scope = new Scope(this, scopes.getStore());
    this.#open.push(scope);
    return scope;
  }
  left(scope) {
    this.#open = this.#open.filter((open3) => open3 !== scope);
  }
  check() {
    if (this.#open.length === 0 || this.isInScope) return;
    throw refusal("a withTransaction that this call is not part of is under way on this handle; nothing was written");
  }
  attempt(writes) {
    if (this.isInScope || !this.#ask()) return void 0;
    this.#attempt ??= new Attempt(this.#run, this.#ask, () => {
      this.#attempt = void 0;
    });
    if (writes) this.#attempt.write();
    return this.#attempt;
  }
};
var Attempt = class {
  #run;
  #verdict;
  /** What the handle had changed when the last of the operations had run; `undefined` before the first that writes. */
  #mark;
  /** The application has changed something on the handle meanwhile: a rollback would undo that as well. */
  #isMixed = false;
  constructor(run4, isInTransaction2, onOver) {
    this.#run = run4;
    this.#verdict = new Promise((resolve, reject) => {
      queueMicrotask(() => {
        onOver();
        if (!isInTransaction2()) return resolve();
        const what = this.#undo() ? "nothing was written" : "the handle was used meanwhile, so what was written belongs to that transaction";
        reject(refusal(`the handle is in a transaction that was begun asynchronously; ${ADVICE}; ${what}`));
      });
    });
  }
  /** An operation that writes is about to run. */
  write() {
    if (this.#mark === void 0) this.#run("savepoint sagastore");
    else this.#isMixed ||= this.#look() !== this.#mark;
    this.#mark = "";
  }
  ran() {
    if (this.#mark !== void 0) this.#mark = this.#look();
    return this.#verdict;
  }
  #undo() {
    if (this.#mark === void 0) return true;
    try {
      if (this.#isMixed || this.#look() !== this.#mark) return false;
      this.#run("rollback to sagastore");
      this.#run("release sagastore");
      return true;
    } catch {
      return false;
    }
  }
  /** Rows changed so far, and a number that each change of the schema moves. Two statements: as one they take twice as long. */
  #look() {
    return `${this.#run("select total_changes()")[0]} ${this.#run("pragma schema_version")[0]}`;
  }
};
var ADVICE = "call inside withTransaction(db, ...)";
function refusal(message) {
  return errorOf("UNSUPPORTED", message, { backend: "sqlite" });
}

// ts/clients/statements.ts
var MOST = 200;
var StatementCache = class {
  #prepare;
  #handles = /* @__PURE__ */ new WeakMap();
  constructor(prepare) {
    this.#prepare = prepare;
  }
  of(handle, sql) {
    const known4 = this.#handles.get(handle) ?? /* @__PURE__ */ new Map();
    const found = known4.get(sql);
    if (found !== void 0) return found;
    const statement = this.#prepare(handle, sql);
    if (known4.size >= MOST) known4.delete(known4.keys().next().value);
    known4.set(sql, statement);
    this.#handles.set(handle, known4);
    return statement;
  }
  /** Forgets a handle's statements. */
  forget(handle) {
    this.#handles.delete(handle);
  }
};

// ts/clients/better-sqlite3.ts
var statements = new StatementCache((handle, sql) => {
  const statement = handle.prepare(sql);
  return statement.reader ? statement.raw() : statement;
});
var recognizeBetterSqlite3 = (client) => {
  const members = membersOf(client);
  if (members === void 0 || !hasMethods(members, "prepare", "transaction", "pragma", "defaultSafeIntegers")) return void 0;
  if (typeof members.inTransaction !== "boolean") return void 0;
  const database = client;
  const carrier = sqlCarrier("sqlite", {
    library: "better-sqlite3",
    isTransaction: false,
    isSynchronous: true,
    query(sql, values) {
      const statement = statements.of(database, sql);
      if (statement.reader) return statement.all(...wholeNumbers(values));
      statement.run(...wholeNumbers(values));
      return [];
    },
    execute(sql, values) {
      const statement = statements.of(database, sql);
      return statement.reader ? statement.all(...wholeNumbers(values)).length : statement.run(...wholeNumbers(values)).changes;
    },
    rows(sql, values) {
      const statement = database.prepare(sql);
      if (statement.reader) return statement.all(...values);
      statement.run(...values);
      return [];
    },
    check: () => guardOf(database)?.check(),
    isOpen: () => database.inTransaction
  });
  guardHandle(
    database,
    () => database.inTransaction,
    (sql) => carrier.send("query", [sql, []])
  );
  shareGuard(database, carrier);
  return withLiveTransaction(carrier, () => database.inTransaction);
};

// ts/clients/pg.ts
var recognizePg = (client) => {
  const members = membersOf(client);
  if (members === void 0 || !hasMethods(members, "query", "connect", "end")) return void 0;
  if (typeof members.totalCount === "number" && typeof members.idleCount === "number") return poolCarrier(client);
  if (hasMethods(members, "getTypeParser", "setTypeParser")) return connectionCarrier(client);
  return void 0;
};
function poolCarrier(pool) {
  return sqlCarrier("postgres", {
    library: "pg",
    isTransaction: false,
    ...statements2(pool),
    begin: (work, { isolation }) => transaction2(pool, work, isolation)
  });
}
function connectionCarrier(connection) {
  const queue3 = oneByOne(connection);
  const isOpen = openness(
    (text2) => queue3.query({ text: text2 }),
    () => isInTransactionByStatus(connection)
  );
  const carrier = sqlCarrier("postgres", { library: "pg", isTransaction: true, ...statements2(queue3), isOpen });
  return withLiveTransaction(carrier, () => connection.getTransactionStatus?.() !== "I");
}
function isInTransactionByStatus(connection) {
  const status = connection.getTransactionStatus?.();
  return typeof status === "string" ? status === "T" || status === "E" : void 0;
}
function oneByOne(connection) {
  let last2 = Promise.resolve();
  let waiting = 0;
  return {
    query(config) {
      waiting += 1;
      const result = waiting === 1 ? connection.query(config) : last2.then(() => connection.query(config));
      const done = () => {
        waiting -= 1;
      };
      last2 = result.then(done, done);
      return result;
    }
  };
}
function statements2(client) {
  const run4 = (text2, values) => client.query(values.length > 0 ? { text: text2, values } : { text: text2 });
  return {
    query: async (text2, values) => {
      const { rows } = await client.query({ text: text2, ...values.length > 0 && { values }, rowMode: "array", types: AS_SENT });
      return rows;
    },
    execute: (sql, values) => run4(sql, values).then(rowCountOf),
    rows: async (sql, values) => (await run4(sql, [...values])).rows
  };
}
function rowCountOf({ rowCount }) {
  return rowCount ?? 0;
}
async function transaction2(pool, work, isolation) {
  const connection = await pool.connect();
  let broken;
  const onError = (error) => {
    broken = error;
  };
  connection.on("error", onError);
  const run4 = async (text2) => {
    try {
      return await connection.query({ text: text2 });
    } catch (error) {
      if (!isAnswer(error)) broken ??= error;
      throw error;
    }
  };
  try {
    await run4(isolation === void 0 ? "begin" : `begin isolation level ${isolationLevel(isolation)}`);
    let result;
    try {
      result = await work(connection);
    } catch (error) {
      await run4("rollback").catch((failed2) => {
        broken ??= failed2;
      });
      throw error;
    }
    const { command } = await run4("commit");
    if (command !== "COMMIT") throw rolledBack();
    return result;
  } finally {
    connection.off("error", onError);
    connection.release(broken);
  }
}
function isAnswer(error) {
  const { code } = error;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) && !/^(?:57P|08|25006|25P0[34])/.test(code);
}

// ts/clients/postgres-js-session.ts
var sessions = /* @__PURE__ */ new WeakMap();
var Session = class _Session {
  #sql;
  #connection;
  #reserved;
  /** Ready when the connection is known. */
  #known;
  constructor(sql) {
    this.#sql = sql;
  }
  /** That of this `sql`: the same one each time. */
  static of(sql) {
    const session = sessions.get(sql) ?? new _Session(sql);
    sessions.set(sql, session);
    return session;
  }
  /** Begins to look at the connection. */
  join() {
    if (this.#known !== void 0) return;
    this.#known = this.#look();
    this.#known.catch(() => void 0);
  }
  /** Asks, if the session is still the same; if not, throws or rejects with what postgres.js says of a lost connection. */
  run(ask2) {
    this.join();
    if (this.#connection === void 0) return this.#known.then(() => this.#checked(ask2));
    return this.#checked(ask2);
  }
  /**
   * What a `begin` has to wait for: `working`, or for ever if the session is gone. The `begin` has rejected then, and
   * would still send its COMMIT or ROLLBACK: into a transaction of somebody else's, or to no connection at all.
   */
  held(working) {
    return new Promise((resolve, reject) => {
      working.then(
        (value) => this.#isThere() && resolve(value),
        (error) => this.#isThere() && reject(error)
      );
    });
  }
  #isThere() {
    return Boolean(this.#reserved) && this.#connection?.reserved === this.#reserved;
  }
  #checked(ask2) {
    if (!this.#isThere()) throw lost2();
    return ask2();
  }
  /** An empty query goes out with the statement behind it, so nobody waits for its answer. */
  #look() {
    return new Promise((resolve, reject) => {
      const onexecute = (connection) => {
        this.#connection = connection;
        this.#reserved = connection.reserved;
        resolve();
        return true;
      };
      const look = (attempts) => {
        const answered = () => attempts > 1 ? look(attempts - 1) : reject(lost2());
        this.#sql.unsafe(";", [], { prepare: false, onexecute }).then(() => this.#connection === void 0 && answered(), reject);
      };
      look(ATTEMPTS);
    });
  }
};
var ATTEMPTS = 5;
function lost2() {
  const message = "the connection on which the transaction began is gone";
  return Object.assign(new Error(message), { code: "CONNECTION_CLOSED" });
}

// ts/clients/postgres-js.ts
var recognizePostgresJs = (client) => {
  const members = membersOf(client);
  if (typeof client !== "function" || members === void 0) return void 0;
  if (!hasMethods(members, "unsafe", "typed", "notify", "array", "file")) return void 0;
  const sql = client;
  const isRoot = hasMethods(members, "begin", "reserve");
  const session = isRoot ? void 0 : Session.of(sql);
  const run4 = (text2, values) => sql.unsafe(text2, [...values], { prepare: values.length > 0 });
  const guarded2 = (ask2) => session?.run(ask2) ?? ask2();
  const isReserved = hasMethods(members, "release");
  return sqlCarrier("postgres", {
    library: "postgres",
    isTransaction: !isRoot,
    query: async (text2, values) => cells(await guarded2(() => run4(text2, values).raw())).map((row) => row.map(asText)),
    // Its serializers are in the way of values all the same.
    ...isRoot && { owner: client },
    execute: async (text2, values) => (await guarded2(() => run4(text2, values))).count ?? 0,
    rows: async (text2, values) => [...await guarded2(() => sql.unsafe(text2, values, { prepare: false }))],
    ...session !== void 0 && { join: () => session.join(), held: (working) => session.held(working) },
    ...isReserved && { isOpen: openness((text2) => guarded2(() => run4(text2, []))) },
    ...isRoot && {
      // Once a statement has failed, and was not inside a savepoint, it rolls back by itself.
      begin: (work, { isolation }) => sql.begin(isolation === void 0 ? "" : `isolation level ${isolationLevel(isolation)}`, (tx) => {
        const opened = Session.of(tx);
        opened.join();
        return opened.held(work(tx));
      })
    }
  });
};
function asText(cell) {
  return Buffer.isBuffer(cell) ? cell.toString() : cell;
}

// ts/clients/drizzle.ts
var ENTITY_KIND = /* @__PURE__ */ Symbol.for("drizzle:entityKind");
var recognizeDrizzle = (client) => {
  const members = membersOf(client);
  const database = membersOf(members?.$primary) ?? members;
  const kinds = entityKinds(database);
  if (kinds.length === 0 || database === void 0) return void 0;
  const inner = innerCarrier(database);
  if (inner === void 0) throw otherDialect("drizzle-orm", kinds[0], "node-postgres, postgres-js and better-sqlite3");
  const { begin } = inner;
  const isTransaction2 = hasMethods(database, "rollback");
  const carrier = {
    backend: inner.backend,
    library: "drizzle-orm",
    get isTransaction() {
      return isTransaction2 || inner.isTransaction;
    },
    isBuffered: false,
    ...inner.isSynchronous && { isSynchronous: true },
    send: inner.send,
    ...inner.check && { check: inner.check },
    ...inner.join && { join: inner.join },
    ...inner.isOpen && { isOpen: inner.isOpen },
    ...begin !== void 0 && { begin: beginOf(database) }
  };
  shareGuard(database.session.client, carrier, client);
  return carrier;
};
function beginOf(database) {
  return (work, { isolation }) => database.transaction(
    (tx) => {
      const inner = innerCarrier(tx);
      inner.join?.();
      const working = committable(
        "postgres",
        (sql, values) => inner.send("query", [sql, values]),
        () => work(tx)
      );
      return inner.held?.(working) ?? working;
    },
    ...isolation === void 0 ? [] : [{ isolationLevel: isolation.toLowerCase() }]
  );
}
function innerCarrier(database) {
  const inner = database.session?.client;
  return recognizePostgresJs(inner) ?? recognizePg(inner) ?? recognizeBetterSqlite3(inner);
}
function entityKinds(database) {
  if (database === void 0 || membersOf(database.session) === void 0 || !hasMethods(database, "select", "transaction")) return [];
  const kinds = [];
  let type = membersOf(database.constructor);
  while (type !== void 0) {
    const kind = type[ENTITY_KIND];
    if (typeof kind === "string" && kind !== kinds.at(-1)) kinds.push(kind);
    type = membersOf(Object.getPrototypeOf(type));
  }
  return kinds;
}

// ts/clients/knex.ts
var drivers = { pg: "postgres", sqlite3: "sqlite", "better-sqlite3": "sqlite" };
var recognizeKnex = (client) => {
  const members = membersOf(client);
  if (typeof client !== "function" || members === void 0 || !hasMethods(members, "raw", "transaction", "batchInsert")) return void 0;
  const driver = membersOf(members.client);
  if (driver === void 0 || !hasMethods(driver, "acquireConnection", "releaseConnection", "_query")) return void 0;
  const backend = drivers[String(driver.driverName)];
  if (backend === void 0) throw otherDialect("knex", driver.driverName);
  const isTransaction2 = members.isTransaction === true;
  const knex = client;
  return sqlCarrier(backend, {
    library: "knex",
    isTransaction: isTransaction2,
    ...statements3(backend, knex),
    ...!isTransaction2 && {
      begin: (work, { isolation }) => knex.transaction((trx) => committable(backend, statements3(backend, trx).query, () => work(trx)), {
        ...isolation !== void 0 && backend === "postgres" && { isolationLevel: isolationLevel(isolation).toLowerCase() }
      })
    }
  });
};
function statements3(backend, knex) {
  const bound = (values) => {
    if (backend === "postgres") return values;
    return knex.client.driverName === "sqlite3" ? values.map((value) => typeof value === "bigint" ? Number(value) : value) : wholeNumbers(values);
  };
  const ask2 = (method, sql, bindings, options = {}) => run2(knex, { method, sql, bindings, options });
  return {
    async query(sql, values) {
      if (backend === "sqlite") return cells(rowsOf(await ask2("raw", sql, bound(values))));
      return rowsOf(await ask2("raw", sql, values, { rowMode: "array", types: AS_SENT }));
    },
    async execute(sql, values) {
      const { response, context } = await ask2("del", sql, bound(values));
      return context?.changes ?? (Array.isArray(response) ? response.length : response.rowCount ?? 0);
    },
    rows: async (sql, values) => rowsOf(await ask2("raw", sql, values))
  };
}
function rowsOf({ response }) {
  return Array.isArray(response) ? response : response?.rows ?? [];
}
async function run2({ client, isCompleted }, question) {
  const connection = await client.acquireConnection();
  try {
    if (isCompleted?.()) throw new Error("the transaction of knex is over");
    return await client._query(connection, question);
  } finally {
    await client.releaseConnection(connection);
  }
}

// ts/clients/kysely.ts
var recognizeKysely = (client) => {
  const members = membersOf(client);
  if (members === void 0 || !hasMethods(members, "getExecutor", "executeQuery", "withoutPlugins", "selectFrom")) return void 0;
  const database = client;
  const backend = backendOf(database.getExecutor().adapter);
  return sqlCarrier(backend, {
    library: "kysely",
    isTransaction: database.isTransaction,
    // Transactions have their client's.
    ...backend === "postgres" && { owner: database.getExecutor().adapter },
    ...statements4(backend, database),
    ...!database.isTransaction && {
      begin: (work, { isolation }) => {
        const builder = database.transaction();
        const isIsolated = isolation !== void 0 && backend === "postgres";
        return (isIsolated ? builder.setIsolationLevel(isolationLevel(isolation).toLowerCase()) : builder).execute(
          (trx) => committable(backend, statements4(backend, trx).query, () => work(trx))
        );
      }
    }
  });
};
function backendOf(adapter) {
  const names = [];
  for (let type = adapter.constructor; typeof type === "function" && type.name !== ""; type = Object.getPrototypeOf(type)) {
    names.push(type.name);
  }
  if (names.some((name) => /cockroach/i.test(name))) throw otherDialect("kysely", names[0]);
  if (names.some((name) => /postgres/i.test(name))) return "postgres";
  if (names.some((name) => /sqlite/i.test(name))) return "sqlite";
  if (adapter.supportsReturning && (names[0] ?? "").length <= 2) return adapter.supportsTransactionalDdl ? "postgres" : "sqlite";
  throw otherDialect("kysely", names[0]);
}
function statements4(backend, database) {
  const plain2 = database.withoutPlugins();
  const bound = (values) => backend === "sqlite" ? wholeNumbers(values) : values;
  return {
    query: async (sql, values) => cells((await plain2.executeQuery(compiled(sql, bound(values)))).rows),
    execute: async (sql, values) => (await plain2.executeQuery(compiled(sql, bound(values)))).numAffectedRows ?? 0,
    rows: async (sql, values) => (await database.executeQuery(compiled(sql, values))).rows
  };
}
function compiled(sql, parameters) {
  return { sql, parameters, query: { kind: "RawNode", sqlFragments: [sql], parameters: [] }, queryId: { queryId: "sagastore" } };
}

// ts/clients/node-sqlite.ts
var statements5 = new StatementCache((handle, sql) => {
  const statement = handle.prepare(sql);
  statement.setReadBigInts(true);
  return statement;
});
var recognizeNodeSqlite = (client) => {
  const members = membersOf(client);
  if (members === void 0 || !hasMethods(members, "prepare", "exec", "open", "close", "createSession")) return void 0;
  const database = client;
  const isInTransaction2 = () => database.isTransaction ?? isInTransactionByTrial(database);
  const carrier = sqlCarrier("sqlite", {
    library: "node:sqlite",
    isTransaction: false,
    isSynchronous: true,
    query: (sql, values) => cells(run3(database, sql, (statement) => statement.all(...wholeNumbers(values)))),
    execute: (sql, values) => run3(database, sql, (statement) => statement.run(...wholeNumbers(values)).changes),
    rows: (sql, values) => database.prepare(sql).all(...values),
    check: () => guardOf(database)?.check(),
    isOpen: isInTransaction2
  });
  guardHandle(database, isInTransaction2, (sql) => carrier.send("query", [sql, []]));
  shareGuard(database, carrier);
  return withLiveTransaction(carrier, isInTransaction2);
};
function run3(database, sql, ask2) {
  try {
    return ask2(statements5.of(database, sql));
  } catch (error) {
    if (!(error instanceof Error) || !/statement has been finalized/.test(error.message)) throw error;
    statements5.forget(database);
    return ask2(statements5.of(database, sql));
  }
}
function isInTransactionByTrial(database) {
  try {
    database.exec("begin");
  } catch (error) {
    return /within a transaction/.test(error.message);
  }
  database.exec("rollback");
  return false;
}

// ts/clients/prisma.ts
var providers = { postgresql: "postgres", postgres: "postgres", sqlite: "sqlite" };
var recognizePrisma = (client) => {
  const members = membersOf(client);
  if (members === void 0 || !hasMethods(members, "$queryRawUnsafe", "$executeRawUnsafe")) return void 0;
  const provider = members._activeProvider ?? members._engineConfig?.activeProvider;
  const backend = providers[String(provider)];
  if (backend === void 0) throw otherDialect("prisma", provider);
  const isTransaction2 = !hasMethods(members, "$connect");
  const { query, execute, rows } = statements6(client);
  return sqlCarrier(backend, {
    library: "prisma",
    isTransaction: isTransaction2,
    query,
    execute,
    rows,
    ...backend === "postgres" && { owner: membersOf(members._engineConfig) ?? members },
    ...!isTransaction2 && {
      begin: (work, { isolation, timeoutMs }) => client.$transaction((tx) => committable(backend, statements6(tx).query, () => work(tx)), {
        ...isolation !== void 0 && backend === "postgres" && { isolationLevel: pascalCase(isolation) },
        timeout: timeoutMs,
        maxWait: timeoutMs
      })
    }
  });
};
function statements6(client) {
  return {
    query: async (sql, values) => cells(await client.$queryRawUnsafe(sql, ...wholeNumbers(values))),
    execute: async (sql, values) => client.$executeRawUnsafe(sql, ...wholeNumbers(values)),
    rows: async (sql, values) => client.$queryRawUnsafe(sql, ...values)
  };
}
function pascalCase(isolation) {
  return isolation.toLowerCase().replace(/(?:^| +)([a-z])/g, (_, letter) => letter.toUpperCase());
}

// ts/clients/sql.ts
var SQL_CLIENTS = [
  "pg (Pool, Client, PoolClient)",
  "postgres",
  "Prisma",
  "Drizzle (node-postgres, postgres-js, better-sqlite3)",
  "Kysely",
  "Knex",
  "better-sqlite3",
  "node:sqlite"
];
var recognizers = [
  recognizePrisma,
  recognizeDrizzle,
  recognizeKysely,
  recognizeKnex,
  recognizePostgresJs,
  recognizePg,
  recognizeBetterSqlite3,
  recognizeNodeSqlite
];
var known2 = /* @__PURE__ */ new WeakMap();
function recognizeSqlClient(client) {
  const members = membersOf(client);
  if (members === void 0) return void 0;
  const found = known2.get(members);
  if (found !== void 0) return found;
  for (const recognize2 of recognizers) {
    const carrier = recognize2(client);
    if (carrier !== void 0) {
      known2.set(members, carrier);
      return carrier;
    }
  }
  return void 0;
}

// ts/clients/recognize.ts
var recognizers2 = [
  recognizeIoredis,
  recognizeNodeRedis,
  recognizeMongo,
  recognizeDynamoDB,
  recognizeDynamoDBTransaction
];
var CLIENTS = [
  ...SQL_CLIENTS,
  "ioredis (Redis, Cluster)",
  "redis (node-redis 5 and later)",
  "mongodb (MongoClient, Db)",
  "@aws-sdk/client-dynamodb and lib-dynamodb",
  "an array of DynamoDB's TransactItems"
];
var known3 = /* @__PURE__ */ new WeakMap();
function recognize(client, what, operation) {
  const members = membersOf(client);
  const found = members === void 0 ? void 0 : known3.get(members) ?? recognizeSqlClient(client) ?? other(client, members);
  if (found === void 0) throw invalidArgument(`${what} is none that can be recognised; accepted: ${CLIENTS.join(", ")}`, operation);
  return found;
}
function other(client, members) {
  for (const recognizer of recognizers2) {
    const carrier = recognizer(client);
    if (carrier !== void 0) {
      known3.set(members, carrier);
      return carrier;
    }
  }
  return void 0;
}

// ts/run/context.ts
var import_node_async_hooks2 = require("node:async_hooks");
var UnitOfWork = class {
  /** What the native side knows it by. */
  handle;
  #last = Promise.resolve();
  constructor(handle) {
    this.handle = handle;
  }
  /** Runs `operation` behind those before it. */
  next(operation) {
    const running = this.#last.then(operation);
    this.#last = running.catch(() => void 0);
    return running;
  }
};
var scopes2 = new import_node_async_hooks2.AsyncLocalStorage();
var isUsed = false;
function hasScopes() {
  return isUsed;
}
function joinedRoute(backend, store) {
  if (!isUsed) return void 0;
  for (let scope = scopes2.getStore(); scope !== void 0; scope = scope.outer) {
    if (scope.backend === backend && (scope.owner === void 0 || scope.owner === store)) return scope.route;
  }
  return void 0;
}
function runJoined(backend, owner, route, work) {
  isUsed = true;
  return scopes2.run({ backend, owner, route, outer: scopes2.getStore() }, work);
}
function takeBack(route) {
  for (const undo of (route.undo ?? []).splice(0).reverse()) undo();
}
function happened(route, isStored) {
  for (const done of (route.done ?? []).splice(0)) done(isStored);
}
function detached(work) {
  return isUsed ? scopes2.exit(work) : work();
}
function checkRoute(route, operation, backend) {
  if (route.isOver?.() !== true) return;
  throw errorOf("CLOSED", "the transaction that this operation belongs to has ended", { operation, backend });
}
var INSTEAD = {
  pg: "the client of pool.connect(), after BEGIN on it",
  postgres: "the sql of sql.begin(async (sql) => \u2026)",
  prisma: "the tx of prisma.$transaction(async (tx) => \u2026)",
  "drizzle-orm": "the tx of db.transaction(async (tx) => \u2026)",
  kysely: "the trx of db.transaction().execute(async (trx) => \u2026)",
  knex: "the trx of knex.transaction(async (trx) => \u2026)",
  ioredis: "what client.multi() gives",
  redis: "what client.multi() gives",
  mongodb: "a ClientSession, after session.startTransaction()",
  "@aws-sdk/client-dynamodb": "the array of TransactItems that you will send",
  "@aws-sdk/lib-dynamodb": "the array of TransactItems that you will send"
};
function transactionCarrier(transaction3, what, operation) {
  const carrier = recognize(transaction3, what, operation);
  if (!carrier.isTransaction && (carrier.begin !== void 0 || carrier.takesUnits)) {
    const hint = INSTEAD[carrier.library] ?? "what the library gives for one";
    throw invalidArgument(`${what} is a ${carrier.library} client, not a transaction of it: pass ${hint}`, operation);
  }
  carrier.join?.();
  return carrier;
}
function withTransaction(transaction3, work) {
  const carrier = transactionCarrier(transaction3, "the transaction", "withTransaction");
  if (typeof work !== "function") throw invalidArgument("withTransaction takes a transaction and a function", "withTransaction");
  const handle = enterHandle(carrier);
  let isOver2 = false;
  const end = () => {
    isOver2 = true;
    handle?.leave();
  };
  isUsed = true;
  const route = { carrier, isJoined: true, isOver: () => isOver2 };
  const scope = { backend: carrier.backend, owner: void 0, route, outer: scopes2.getStore() };
  let result;
  try {
    const run4 = () => scopes2.run(scope, work);
    result = handle === void 0 ? run4() : handle.run(run4);
  } catch (error) {
    end();
    takeBack(route);
    throw error;
  }
  if (!isPromiseLike(result)) {
    end();
    happened(route, false);
    return result;
  }
  return Promise.resolve(result).finally(end).then(
    (value) => {
      happened(route, false);
      return value;
    },
    (error) => {
      takeBack(route);
      throw error;
    }
  );
}

// ts/kinds/outbox-joined.ts
function isOutboxSource(source) {
  const { outbox, inbox } = source ?? {};
  return typeof outbox?.insert === "function" && typeof inbox?.accept === "function";
}
async function joined(source, transaction3, operation, work) {
  if (transaction3 === void 0 || transaction3 === null) return await work(source);
  if (isOutboxSource(transaction3)) return await work(transaction3);
  const { backend, library } = recognize(transaction3, "the transaction", operation);
  if (source.backend !== backend) {
    const where = source.backend === void 0 ? "in a transaction of its own" : `on ${source.backend}`;
    throw invalidArgument(`the transaction is one of ${library}: what is ${where} cannot join it`, operation, source.backend);
  }
  return await withTransaction(transaction3, () => work(source));
}

// ts/kinds/outbox-event-bus.ts
var OPTIONS2 = {
  workerId: true,
  concurrency: true,
  batchSize: true,
  leaseMs: true,
  pollMs: true,
  errors: true,
  partitionKey: true
};
function outboxEventBusOutbox(store, options) {
  const { errors, partitionKey, ...relayed } = checked(store, options);
  const { outbox } = store;
  let relay;
  let handle;
  let tell;
  const report = (cause, claim) => {
    const event = busEvent(claim);
    const retryCount = claim.retryCount + 1;
    const error = retryCount > outbox.maxRetries ? errorOf2(errors?.MaxRetriesExceededError, "MaxRetriesExceededError", cause, { ...event, retryCount, error: textOf(cause) }) : errorOf2(errors?.HandlerError, "HandlerError", cause, event);
    tell(error);
  };
  return {
    async publish(events, transaction3) {
      const given = Array.from(events, (event) => newEvent(event, partitionKey));
      if (given.length > 0) await joined(store, transaction3, "outboxEventBusOutbox", (within2) => within2.outbox.insert(given));
    },
    start(handler, onError) {
      ;
      [handle, tell] = [handler, onError];
      relay ??= outbox.relay(async (claim) => {
        try {
          await handle(busEvent(claim));
        } catch (error) {
          try {
            report(error, claim);
          } catch {
          }
          throw error;
        }
      }, relayed);
    },
    async stop() {
      const stopped = relay;
      relay = void 0;
      await stopped?.stop();
    },
    async getFailedEvents() {
      const { events } = await outbox.deadLetters({ limit: 1e3 });
      return events.map(failedEvent);
    },
    async retryEvents(eventIds) {
      await outbox.requeue(eventIds);
    }
  };
}
function checked(store, options) {
  const invalid3 = (message) => invalidArgument(message, "outboxEventBusOutbox");
  if (!isOutboxSource(store)) throw invalid3("outboxEventBusOutbox takes a store, or a transaction of one");
  const taken2 = optionsOf(options, OPTIONS2, "outboxEventBusOutbox");
  const { errors, partitionKey } = taken2;
  if (partitionKey !== void 0 && typeof partitionKey !== "function") throw invalid3("option 'partitionKey' must be a function");
  for (const name of ["HandlerError", "MaxRetriesExceededError"]) {
    if (errors === void 0) break;
    if (typeof errors?.[name] !== "function") throw invalid3(`option 'errors' must have the class '${name}' of outbox-event-bus`);
  }
  return taken2;
}
function newEvent(event, partitionKey) {
  const { id, type, payload, occurredAt, metadata } = event;
  const key = partitionKey?.(event);
  return {
    eventId: id,
    eventType: type,
    payload,
    occurredAt,
    ...metadata !== void 0 && { headers: metadata },
    ...key !== void 0 && { partitionKey: key }
  };
}
function busEvent({ eventId, eventType, payload, occurredAt, headers }) {
  return { id: eventId, type: eventType, payload, occurredAt, ...headers !== void 0 && { metadata: headers } };
}
function failedEvent(event) {
  const { retryCount, lastError } = event;
  return { ...busEvent(event), retryCount, ...lastError !== void 0 && { error: lastError } };
}
function errorOf2(Class, name, cause, event) {
  if (Class !== void 0) return new Class(cause, event);
  const error = new Error(`${name}: ${textOf(cause)}`, { cause });
  return Object.assign(error, { name, event, context: { cause, event } });
}
function textOf(cause) {
  return cause instanceof Error ? cause.message : String(cause);
}

// ts/kinds/state-json.ts
var import_types4 = require("node:util/types");
var DATES = ["createdAt", "updatedAt", "archivedAt", "timeoutExpiresAt"];
var EACH = 4;
function sizeOf3(listed2) {
  return listed2.length / EACH;
}
function lastOf(listed2) {
  return listed2[listed2.length - EACH + 1];
}
var { toISOString } = Date.prototype;
function withTexts(metadata) {
  const texts = { ...metadata };
  for (const name of DATES) {
    const date = texts[name];
    if ((0, import_types4.isDate)(date) && !Number.isNaN(date.getTime())) texts[name] = toISOString.call(date);
  }
  return texts;
}
function notJudged(metadata) {
  const rest = { ...metadata, version: void 0 };
  for (const name of DATES) delete rest[name];
  return rest;
}
var StateJson = class {
  #backend;
  constructor(backend) {
    this.#backend = backend;
  }
  /** Fills in what the metadata lacks, and makes JSON of it. Dates and the other values are checked by the native side. */
  record(sagaName, state, metadata, terms) {
    const { operation, version, isChange } = terms;
    if (typeof state !== "object" || state === null || metadata === void 0)
      throw invalidArgument("a state is an object with `metadata: { sagaId, ... }`", operation, this.#backend);
    const { sagaId, isCompleted = false, version: _, createdAt, updatedAt, correlationId: __, ...rest } = metadata;
    const { timeoutExpiresAt, archivedAt } = rest;
    const now = /* @__PURE__ */ new Date();
    const begun = createdAt ?? now;
    const changed = updatedAt == null || isChange && (0, import_types4.isDate)(updatedAt) && updatedAt.getTime() < now.getTime() ? now : updatedAt;
    const known4 = { version, sagaId, isCompleted, createdAt: begun, updatedAt: changed, ...rest };
    const { stored: stored2, text: text2 } = this.#serialized(state, known4, operation, sagaId);
    return { given: [sagaName, sagaId, version, isCompleted, begun, changed, timeoutExpiresAt, archivedAt, text2], stored: stored2 };
  }
  #serialized(state, metadata, operation, id) {
    let stored2 = state;
    let text2;
    try {
      if ("toJSON" in metadata) throw new TypeError("metadata has a toJSON of its own");
      const rest = withoutMetadata2(state);
      stored2 = { metadata, ...rest };
      text2 = JSON.stringify({ metadata: withTexts(metadata), ...rest });
    } catch (cause) {
      throw this.#unserializable(operation, id, partOf(stored2), cause);
    }
    if (mayHaveLost(text2)) {
      const { metadata: _, ...rest } = stored2;
      const found = lostIn(rest, "") ?? lostIn(notJudged(metadata), "metadata");
      if (found !== void 0) throw this.#unserializable(operation, id, found);
    }
    if (text2.includes("\\u0000") || text2.includes("\\ud")) {
      const found = unserializable(JSON.parse(text2));
      if (found.path !== "") throw this.#unserializable(operation, id, found);
    }
    return { stored: stored2, text: text2 };
  }
  #unserializable(operation, sagaId, { path, what }, cause) {
    const message = `the state cannot be kept as JSON: ${path === "" ? "it" : path} ${what}`;
    const id = typeof sagaId === "string" ? sagaId : void 0;
    return errorOf("SERIALIZATION", message, { backend: this.#backend, operation, id, details: { path }, cause });
  }
  /** The states of a list, and those that cannot be read. */
  listed(found, operation) {
    const sagas = [];
    const corrupt = [];
    for (let at = 0; at < found.length; at += EACH) {
      const [sagaName, sagaId, correlationId, text2] = found.slice(at, at + EACH);
      try {
        if (typeof text2 !== "string") throw this.#corrupt(operation, sagaId, text2.problem);
        sagas.push({ sagaName, state: this.parsed([text2, correlationId], sagaId, operation) });
      } catch (error) {
        if (!(error instanceof CorruptDataError)) throw error;
        corrupt.push({ sagaName, sagaId, error });
      }
    }
    return { sagas, corrupt };
  }
  /** The state that a text is, with Dates and the correlation id in its metadata. */
  parsed([text2, correlationId], id, operation = "states") {
    let state = null;
    let cause;
    try {
      state = JSON.parse(text2);
    } catch (error) {
      cause = error;
    }
    const metadata = metadataOf(state);
    if (metadata === void 0) throw this.#corrupt(operation, id, cause === void 0 ? "has no metadata" : "is no JSON", cause);
    for (const name of DATES) {
      const value = metadata[name];
      if (value === void 0 || value === null) continue;
      const date = new Date(value);
      if (Number.isNaN(date.getTime())) throw this.#corrupt(operation, id, `has a metadata.${name} that is no date`);
      metadata[name] = date;
    }
    if (correlationId !== null) metadata.correlationId = correlationId;
    return state;
  }
  #corrupt(operation, id, what, cause) {
    return errorOf("CORRUPT_DATA", `the stored state ${what}`, { backend: this.#backend, operation, id, cause });
  }
};
function withoutCorrupt(answer, corrupt, onCorrupt) {
  const [first] = corrupt;
  if (first === void 0) return answer;
  if (onCorrupt === void 0) {
    const { error: cause, sagaName, sagaId } = first;
    const message = `${corrupt.length} of the sagas cannot be read; the first: ${cause.message}`;
    const { backend, operation } = cause;
    const error = errorOf("CORRUPT_DATA", message, { backend, operation, id: sagaId, details: { sagaName }, cause });
    throw Object.defineProperty(Object.assign(error, { corrupt }), "found", { value: answer });
  }
  for (const problem of corrupt) onCorrupt(problem);
  return answer;
}
function metadataOf(state) {
  const metadata = state?.metadata;
  return typeof metadata === "object" && metadata !== null && !Array.isArray(metadata) ? metadata : void 0;
}
function withoutMetadata2(state) {
  const plain2 = typeof state.toJSON === "function" ? state.toJSON() : state;
  if (typeof plain2 !== "object" || plain2 === null) throw new TypeError("its toJSON() returns no object");
  const { metadata: _, ...rest } = plain2;
  return rest;
}

// ts/kinds/saga-bus.ts
var CLASSES = { ConcurrencyError: true, TransientError: true };
var SOUNDS_TRANSIENT = /timeout|network/i;
function sagaBusStore(states, options) {
  const { ConcurrencyError: Conflict, TransientError: Transient } = checked2(states, options);
  const raise2 = (error) => {
    if (error instanceof ConcurrencyError) throw causedBy(error, new Conflict(error.sagaId, error.expectedVersion, error.actualVersion));
    if (!(error instanceof SagaStoreError) || !error.retryable) throw error;
    if (Transient !== void 0) throw causedBy(error, new Transient(error.message, error));
    if (!SOUNDS_TRANSIENT.test(error.message)) error.message += " (it may pass by itself, as a network error does)";
    throw error;
  };
  return {
    getById: (sagaName, sagaId) => states.getById(sagaName, sagaId).catch(raise2),
    getByCorrelationId: (sagaName, correlationId) => states.getByCorrelationId(sagaName, correlationId).catch(raise2),
    insert: (sagaName, correlationId, state) => states.insert(sagaName, correlationId, state).catch((error) => {
      if (!(error instanceof AlreadyExistsError)) return raise2(error);
      const { sagaId, version = 0 } = metadataOf(state);
      throw causedBy(error, new Conflict(sagaId, version));
    }),
    update: (sagaName, state, expectedVersion) => states.update(sagaName, state, expectedVersion).catch(raise2),
    delete: (sagaName, sagaId) => states.delete(sagaName, sagaId).catch(raise2)
  };
}
function checked2(states, options) {
  const invalid3 = (message) => invalidArgument(message, "sagaBusStore");
  if (typeof states?.getByCorrelationId !== "function") throw invalid3("sagaBusStore takes the 'states' of a store or of a transaction");
  const taken2 = optionsOf(options, CLASSES, "sagaBusStore");
  for (const name of ["ConcurrencyError", "TransientError"]) {
    const isLeftOut = name === "TransientError" && taken2[name] === void 0;
    if (!isLeftOut && typeof taken2[name] !== "function") throw invalid3(`option '${name}' must be the class of @saga-bus/core`);
  }
  return taken2;
}
function causedBy(cause, error) {
  error.cause ??= cause;
  return error;
}

// ts/kinds/sagaz-outbox.ts
var import_node_crypto4 = require("node:crypto");
var PAGE4 = 1e3;
var DAY_MS = 864e5;
function sagazOutbox(store) {
  if (!isOutboxSource(store) || typeof store.health !== "function") throw invalid("sagazOutbox takes a store");
  const { outbox, inbox } = store;
  async function* all2(page) {
    let cursor;
    do {
      const found = await page({ limit: PAGE4, ...cursor !== void 0 && { cursor } });
      yield* found.events.map(sagazEvent);
      cursor = found.cursor;
    } while (cursor !== void 0);
  }
  return {
    insert: (event, connection) => joined(store, connection, "sagazOutbox", async (within2) => {
      const given = newEvent2(event);
      await within2.outbox.insert(given);
      return sagazEvent({ ...given, ...NEW, createdAt: /* @__PURE__ */ new Date() });
    }),
    async getById(eventId) {
      const found = await outbox.get(eventId);
      return found === null ? null : sagazEvent(found);
    },
    updateStatus: (eventId, status, errorMessage, connection) => joined(store, connection, "sagazOutbox", async (within2) => {
      if (status === "claimed") throw invalid("status must not be 'claimed': an event is claimed by claimBatch");
      const before = await within2.outbox.get(eventId);
      await within2.outbox.updateStatus(eventId, status, errorMessage ?? void 0);
      const after = status === "sent" ? null : await within2.outbox.get(eventId);
      const known4 = after ?? before;
      if (known4 === null) throw errorOf("NOT_FOUND", "not found: the event", { operation: "sagazOutbox", id: eventId });
      const event = sagazEvent(known4);
      if (status === "sent") return { ...event, status, sentAt: event.sentAt ?? /* @__PURE__ */ new Date(), claimedAt: null, workerId: null };
      return status === "failed" && event.status === "pending" ? { ...event, status } : event;
    }),
    async claimBatch(workerId, batchSize = 100, olderThanSeconds = 0) {
      const claimed = await outbox.claim({ workerId, batchSize, olderThanMs: millis(olderThanSeconds, "olderThanSeconds", 1e3) });
      return claimed.map(sagazEvent);
    },
    getEventsBySaga: (sagaId) => listOf(all2((more) => outbox.bySaga(sagaId, more))),
    async getStuckEvents(claimedOlderThanSeconds = 300) {
      const olderThanMs = millis(claimedOlderThanSeconds, "claimedOlderThanSeconds", 1e3);
      return (await outbox.findStuck({ olderThanMs, limit: PAGE4 })).map(sagazEvent);
    },
    async releaseStuckEvents(claimedOlderThanSeconds = 300) {
      return await outbox.releaseStuck({ olderThanMs: millis(claimedOlderThanSeconds, "claimedOlderThanSeconds", 1e3) });
    },
    getPendingCount: () => outbox.pendingCount(),
    async getDeadLetterEvents(limit = 100) {
      return (await outbox.deadLetters({ limit })).events.map(sagazEvent);
    },
    async archiveEvents(olderThanDays = 30, statuses = ["sent"]) {
      return await outbox.archive({ olderThanMs: millis(olderThanDays, "olderThanDays", DAY_MS), statuses });
    },
    async archiveSentEvents(olderThanDays = 7) {
      return await outbox.archive({ olderThanMs: millis(olderThanDays, "olderThanDays", DAY_MS) });
    },
    async healthCheck() {
      const { status, latencyMs, message = "", details, backend, serverVersion } = await store.health();
      const more = { ...details, backend, ...serverVersion !== void 0 && { serverVersion } };
      return { status, isHealthy: status !== "unhealthy", latencyMs, message, details: more, checkedAt: (/* @__PURE__ */ new Date()).toISOString() };
    },
    async getStatistics() {
      const { ready, claimed, waiting, dead, sent } = await outbox.statistics();
      return { totalRecords: ready + claimed + waiting + dead + sent, pendingRecords: ready + waiting, failedRecords: dead };
    },
    exportAll: () => all2((more) => outbox.list(more)),
    async importRecord(record) {
      const { status = "pending", lastError } = record;
      const given = newEvent2(record);
      const isOver2 = status === "sent" || status === "dead_letter";
      await outbox.insert(given, isOver2 ? { claim: { workerId: `import-${(0, import_node_crypto4.randomUUID)()}` } } : {});
      if (isOver2) await outbox.updateStatus(given.eventId, status, lastError ?? void 0);
    },
    async count() {
      const { ready, claimed, waiting, dead, sent } = await outbox.statistics();
      return ready + claimed + waiting + dead + sent;
    },
    checkAndInsertInbox: (eventId, consumerName, _sourceTopic, _eventType, _payload, connection) => joined(store, connection, "sagazOutbox", async (within2) => !await within2.inbox.accept(consumerName, eventId)),
    updateInboxDuration: async () => void 0,
    cleanupInbox: () => inbox.cleanup()
  };
}
var NEW = { status: "pending", retryCount: 0, deliveries: 0 };
function newEvent2(event) {
  if (typeof event !== "object" || event === null) throw invalid("an event must be an object");
  const { eventId = (0, import_node_crypto4.randomUUID)(), eventType, payload, sagaId, aggregateType = "saga", aggregateId = sagaId, headers = {} } = event;
  const { createdAt: occurredAt = /* @__PURE__ */ new Date(), routingKey, partitionKey } = event;
  return {
    ...{ eventId, eventType, payload, sagaId, aggregateType, aggregateId, headers, occurredAt },
    ...routingKey != null && { routingKey },
    ...partitionKey != null && { partitionKey }
  };
}
function sagazEvent(event) {
  const { eventId, eventType, payload, status, retryCount, occurredAt, sagaId = "", headers = {} } = event;
  return {
    ...{ eventId, sagaId, eventType, payload, headers, status, retryCount },
    aggregateType: event.aggregateType ?? "saga",
    aggregateId: event.aggregateId ?? sagaId,
    createdAt: occurredAt,
    claimedAt: event.claimedAt ?? null,
    sentAt: event.sentAt ?? null,
    lastError: event.lastError ?? null,
    workerId: event.workerId ?? null,
    routingKey: event.routingKey ?? null,
    partitionKey: event.partitionKey ?? null
  };
}
function invalid(message) {
  return invalidArgument(message, "sagazOutbox");
}
function millis(value, name, unit) {
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return Math.round(value * unit);
  throw invalid(`${name} must be a number from 0 on`);
}
async function listOf(values) {
  const list2 = [];
  for await (const value of values) list2.push(value);
  return list2;
}

// ts/kinds/sagaz-storage.ts
var import_types5 = require("node:util/types");
var STATUSES2 = {
  pending: ["pending", null],
  executing: ["running", null],
  completed: ["completed", null],
  compensating: ["compensating", null],
  failed: ["failed", null],
  rolled_back: ["compensated", null],
  partially_committed: ["failed", "partially_committed"],
  // It waits for somebody: no worker takes it by itself.
  forward_recovery: ["pending", "forward_recovery"]
};
var STEPS = {
  pending: "pending",
  executing: "started",
  completed: "completed",
  compensating: "started",
  compensated: "compensated",
  failed: "failed",
  tainted: "completed",
  skipped: "skipped"
};
var FILTER3 = { status: true, sagaName: true, limit: true, offset: true };
var STEP_CHANGE = { result: true, error: true, executedAt: true };
var RECORD = {
  sagaId: true,
  sagaName: true,
  status: true,
  steps: true,
  context: true,
  metadata: true,
  createdAt: true,
  updatedAt: true
};
var PAGE5 = 1e3;
var AT_ONCE = 16;
function sagazStorage(store) {
  if (typeof store?.executions?.findRecoverable !== "function" || typeof store.health !== "function") {
    throw invalidArgument("sagazStorage takes a store", "sagazStorage");
  }
  const { executions } = store;
  const load2 = async (sagaId) => {
    const found = await executions.find(sagaId);
    if (found === null) return null;
    return {
      ...headOf(found),
      steps: await stepsOf(executions, sagaId),
      context: found.context ?? {},
      metadata: found.metadata ?? {}
    };
  };
  const save = async (sagaId, sagaName, status, steps, context, metadata) => {
    const [ours, subStatus] = statusOf(status);
    const entries = list(steps, "steps").map(entryOf2);
    await executions.save({ sagaId, name: sagaName, status: ours, subStatus, context, metadata: metadata ?? {}, steps: entries });
  };
  return {
    saveSagaState: save,
    loadSagaState: load2,
    deleteSagaState: (sagaId) => executions.delete(sagaId),
    async listSagas(filter) {
      const { status, sagaName, limit = 100, offset = 0 } = optionsOf(filter, FILTER3, "sagazStorage");
      for (const [name, value] of Object.entries({ limit, offset })) {
        if (!(Number.isSafeInteger(value) && value >= 0)) throw invalid2(`option '${name}' must be a whole number from 0 on`);
      }
      if (sagaName !== void 0 && typeof sagaName !== "string") throw invalid2("option 'sagaName' must be text");
      const [ours, subStatus] = status === void 0 ? [] : statusOf(status);
      const wanted = sagaName?.toLowerCase();
      const found = [];
      for await (const item of all(executions, ours)) {
        if (status !== void 0 && item.subStatus !== subStatus && isOurWord(item.subStatus, subStatus)) continue;
        if (wanted !== void 0 && !item.name.toLowerCase().includes(wanted)) continue;
        found.push(item);
        if (found.length >= offset + limit) break;
      }
      const page = found.slice(offset, offset + limit);
      const summaries = [];
      for (let at = 0; at < page.length; at += AT_ONCE) {
        const some = page.slice(at, at + AT_ONCE).map(async (item) => {
          const steps = await stepsOf(executions, item.sagaId);
          return { ...headOf(item), stepCount: steps.length, completedSteps: steps.filter((step) => step.status === "completed").length };
        });
        summaries.push(...await Promise.all(some));
      }
      return summaries;
    },
    async updateStepState(sagaId, stepName, status, more) {
      const { result = null, error = null, executedAt } = optionsOf(more, STEP_CHANGE, "sagazStorage");
      const time = executedAt === void 0 ? void 0 : timeOf(executedAt, "option 'executedAt'").toISOString();
      const steps = await stepsOf(executions, sagaId);
      const step = steps.find(({ name }) => name === stepName);
      if (step === void 0) {
        const message = `not found: the saga has no step '${stepName}'`;
        throw errorOf("NOT_FOUND", message, { operation: "sagazStorage", id: sagaId, details: { sagaId } });
      }
      const { name: _, ...rest } = step;
      const changed = { ...rest, status, result, error, ...time !== void 0 && { executedAt: time } };
      const { stepName: __, ...entry } = entryOf2({ name: stepName, ...changed });
      await executions.updateStep(sagaId, stepName, entry);
    },
    async getSagaStatistics() {
      const { total, byStatus, bytes } = await executions.statistics();
      const words2 = Object.entries(byStatus).map(([status, count]) => [wordOf2(status, null), count]);
      return { totalSagas: total, byStatus: Object.fromEntries(words2.filter(([, count]) => count > 0)), storageBytes: bytes };
    },
    async cleanupCompletedSagas(olderThan, statuses = ["completed", "rolled_back"]) {
      const olderThanMs = Math.max(0, Date.now() - timeOf(olderThan, "olderThan").getTime());
      const ours = new Set(list(statuses, "statuses").map((status) => statusOf(status)[0]));
      return await executions.cleanup({ olderThanMs, statuses: ours });
    },
    async healthCheck() {
      const { status, latencyMs, message = "", details, backend, serverVersion } = await store.health();
      const more = { ...details, backend, ...serverVersion !== void 0 && { serverVersion } };
      return { status, isHealthy: status !== "unhealthy", latencyMs, message, details: more, checkedAt: (/* @__PURE__ */ new Date()).toISOString() };
    },
    async *exportAll() {
      for await (const { sagaId } of all(executions, void 0)) {
        const state = await load2(sagaId);
        if (state !== null) yield state;
      }
    },
    async importRecord(record) {
      const { sagaId, sagaName, status, steps = [], context = {}, metadata = {} } = optionsOf(record, RECORD, "sagazStorage");
      await save(sagaId, sagaName, status, steps, context, metadata);
    },
    count: () => executions.count()
  };
}
async function* all(executions, status) {
  let cursor;
  do {
    const page = await executions.list({ limit: PAGE5, ...status !== void 0 && { status }, ...cursor !== void 0 && { cursor } });
    yield* page.items;
    cursor = page.cursor;
  } while (cursor !== void 0);
}
function invalid2(message) {
  return invalidArgument(message, "sagazStorage");
}
function list(values, name) {
  if (typeof values !== "string" && typeof values?.[Symbol.iterator] === "function") return Array.from(values);
  throw invalid2(`${name} must be an iterable, such as an array`);
}
function timeOf(value, name) {
  if ((0, import_types5.isDate)(value) && !Number.isNaN(value.getTime())) return value;
  throw invalid2(`${name} must be a valid Date`);
}
function headOf({ sagaId, name, status, subStatus, createdAt, updatedAt }) {
  const times = { createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() };
  return { sagaId, sagaName: name, status: wordOf2(status, subStatus), ...times };
}
function statusOf(status) {
  const ours = Object.hasOwn(STATUSES2, status) ? STATUSES2[status] : void 0;
  if (ours !== void 0) return ours;
  throw invalid2(`status must be one of '${Object.keys(STATUSES2).join("', '")}'`);
}
function wordOf2(status, subStatus) {
  const words2 = Object.entries(STATUSES2);
  const exact = words2.find(([, [ours, word]]) => ours === status && word === subStatus);
  return (exact ?? words2.find(([, [ours]]) => ours === status))?.[0];
}
function isOurWord(...words2) {
  return words2.some((word) => word === "partially_committed" || word === "forward_recovery");
}
function entryOf2({ name, status, result, error, executedAt, ...rest }) {
  if (!Object.hasOwn(STEPS, status)) {
    throw invalid2(`a step's status must be one of '${Object.keys(STEPS).join("', '")}'`);
  }
  const isUndoing = status === "compensating" || status === "compensated";
  const entry = { stepName: name, status: STEPS[status], action: isUndoing ? "compensate" : "act", details: { ...rest, status } };
  if (result !== void 0) entry.result = result;
  if (error !== void 0) entry.error = error;
  if (executedAt != null) entry.executedAt = new Date(executedAt);
  return entry;
}
async function stepsOf(executions, sagaId) {
  const steps = /* @__PURE__ */ new Map();
  let after;
  do {
    const page = await executions.history(sagaId, after === void 0 ? {} : { after });
    for (const entry of page.entries) steps.set(entry.stepName, stepOf(entry));
    after = page.cursor;
  } while (after !== void 0);
  return [...steps.values()];
}
function stepOf({ stepName, action, status, result, error, details, executedAt }) {
  const kept = typeof details === "object" && details !== null && !Array.isArray(details) ? details : {};
  const plain2 = status !== "started" ? status : action === "compensate" ? "compensating" : "executing";
  const step = { name: stepName, status: plain2, ...kept };
  if (result !== void 0) step.result = result;
  if (error !== void 0) step.error = error;
  if (executedAt !== void 0) step.executedAt = executedAt.toISOString();
  return step;
}

// ts/kinds/states.ts
var import_promises6 = require("node:timers/promises");
var import_types6 = require("node:util/types");

// ts/kinds/stale-sagas.ts
var OPERATION = "states.findStale";
var NAMES = 100;
var listOf2 = ({ sagaName }) => ["states", "stale", sagaName ?? null];
function stalePlace(options, backend) {
  const { unchangedForMs, cursor } = options;
  if (!Number.isSafeInteger(unchangedForMs) || unchangedForMs < 0) {
    throw invalidArgument("unchangedForMs must be a whole number from 0 on", OPERATION, backend);
  }
  pageLimitOf(options, OPERATION, backend);
  const position = positionOf(cursor, listOf2(options), OPERATION, backend);
  if (position === void 0) return { since: Date.now() - unchangedForMs };
  const [since, name, after] = JSON.parse(position);
  return { since, name, after };
}
async function stalePage(runner, json, options, from) {
  const { limit = 100, sagaName } = options;
  const page = { items: [] };
  const corrupt = [];
  let left = limit;
  for await (const name of namesFrom(runner, sagaName, from.name)) {
    const after = name === from.name ? from.after : void 0;
    const listed2 = await runner.run(OPERATIONS[OPERATION], [name, new Date(from.since), after, left]);
    const read = json.listed(listed2, OPERATION);
    page.items.push(...read.sagas);
    corrupt.push(...read.corrupt);
    left -= sizeOf3(listed2);
    if (left <= 0) {
      page.cursor = cursorOf(listOf2(options), JSON.stringify([from.since, name, lastOf(listed2)]));
      break;
    }
  }
  return { page, corrupt };
}
async function* namesFrom(runner, only, first) {
  const known4 = only ?? first;
  if (known4 !== void 0) yield known4;
  if (only !== void 0) return;
  for (let after = first; ; ) {
    const names = await runner.run(OPERATIONS["states.names"], [after, NAMES]);
    yield* names;
    if (names.length < NAMES) return;
    after = names.at(-1);
  }
}

// ts/kinds/states-of.ts
var SagaStatesOf = class {
  /** The name of the sagas. */
  sagaName;
  #states;
  /** @internal */
  constructor(states, sagaName) {
    this.#states = states;
    this.sagaName = sagaName;
  }
  /** The state, or null. */
  getById(sagaId) {
    return this.#states.getById(this.sagaName, sagaId);
  }
  /** The state, or null. */
  getByCorrelationId(correlationId) {
    return this.#states.getByCorrelationId(this.sagaName, correlationId);
  }
  /** Stores a new saga: see `SagaStates.insert`. */
  insert(correlationId, state) {
    return this.#states.insert(this.sagaName, correlationId, state);
  }
  /** Replaces the state, if the stored version is the expected one: see `SagaStates.update`. */
  update(state, expectedVersion) {
    return this.#states.update(this.sagaName, state, expectedVersion);
  }
  /** Inserts a state without a version, and updates the saga of one that has a version: see `SagaStates.save`. */
  save(state) {
    return this.#states.save(this.sagaName, state);
  }
  /** Reads the state, has it changed, and stores it: see `SagaStates.modify`. */
  modify(sagaId, change, options) {
    return this.#states.modify(this.sagaName, sagaId, change, options);
  }
  /** Removes the saga, if there is one. */
  delete(sagaId) {
    return this.#states.delete(this.sagaName, sagaId);
  }
  /** Removes the saga, if there is one. */
  deleteByCorrelationId(correlationId) {
    return this.#states.deleteByCorrelationId(this.sagaName, correlationId);
  }
  /** A page of them: see `SagaStates.findByName`. */
  find(options) {
    return this.#states.findByName(this.sagaName, options);
  }
  /** How many there are: see `SagaStates.countByName`. */
  count(options) {
    return this.#states.countByName(this.sagaName, options);
  }
  /** Those whose timeout has passed: see `SagaStates.findTimedOut`. */
  async findTimedOut(options) {
    return this.#states.findTimedOut(this.#named(options, "findTimedOut"));
  }
  /** Those that nobody has changed for a while: see `SagaStates.findStale`. */
  async findStale(options) {
    return this.#states.findStale(this.#named(options, "findStale"));
  }
  /** Those whose timeout has passed, each given to one worker: see `SagaStates.claimTimedOut`. */
  async claimTimedOut(options) {
    return this.#states.claimTimedOut(this.#named(options, "claimTimedOut"));
  }
  /** Removes those that ended before a time: see `SagaStates.deleteCompletedBefore`. */
  deleteCompletedBefore(before, options) {
    return this.#states.deleteCompletedBefore(this.sagaName, before, options);
  }
  /** The same options with the name. What is no object is left for the method to refuse. */
  #named(options, method) {
    if (options !== void 0 && !isRecord(options)) return options;
    const { sagaName } = options ?? {};
    if (sagaName !== void 0 && sagaName !== this.sagaName) {
      throw invalidArgument(`unknown option 'sagaName': these are the sagas '${this.sagaName}'`, `states.${method}`);
    }
    return { ...options, sagaName: this.sagaName };
  }
};

// ts/kinds/states.ts
var FILTER4 = { completed: true };
var FIND = { completed: true, limit: true, cursor: true, onCorrupt: true };
var TIMED_OUT = { now: true, limit: true, sagaName: true, onCorrupt: true };
var CLAIM3 = { workerId: true, leaseMs: true, ...TIMED_OUT };
var NAMES2 = { limit: true, cursor: true };
var STALE = { unchangedForMs: true, limit: true, cursor: true, sagaName: true, onCorrupt: true };
var MODIFY = { maxRetries: true, retryDelayMs: true };
var SagaStates = class {
  #runner;
  #json;
  #facet;
  /** @internal */
  constructor(runner) {
    this.#runner = runner;
    this.#json = new StateJson(runner.backend);
    this.#facet = new Facet(runner, "states");
  }
  /**
   * The sagas of one name, with the type of their state.
   *
   * @throws InvalidArgumentError if the name is no text
   */
  of(sagaName) {
    if (typeof sagaName !== "string") throw this.#invalid("the name of sagas must be a string", "states.of");
    return new SagaStatesOf(this, sagaName);
  }
  /** The state, or null. Dates of its metadata are Dates. */
  getById(sagaName, sagaId) {
    return this.#find(OPERATIONS["states.getById"], sagaName, sagaId);
  }
  /** The state, or null. Dates of its metadata are Dates. */
  getByCorrelationId(sagaName, correlationId) {
    return this.#find(OPERATIONS["states.getByCorrelationId"], sagaName, correlationId);
  }
  /**
   * Stores a new saga, with the version that its metadata has (1, if it has none) and its dates.
   *
   * @param state with `metadata.sagaId`; what else is missing in `metadata` is filled in in what is stored
   * @throws AlreadyExistsError if the saga id or the correlation id is taken
   * @throws SerializationError if it cannot be kept as JSON: `path` says what
   */
  async insert(sagaName, correlationId, state) {
    let given;
    try {
      given = this.#insertion("states.insert", sagaName, correlationId, state).given;
    } catch (error) {
      return await this.#runner.refuse(error, "states.insert");
    }
    await this.#runner.run(OPERATIONS["states.insert"], given);
  }
  /**
   * Replaces the state, if the stored version is the expected one; what is stored has the next version. Its
   * `createdAt` and its correlation id stay what they are. `updatedAt` is the time of this change: the present, unless
   * the state's lies in the future.
   *
   * @throws ConcurrencyError if the version is another one: `expectedVersion`, `actualVersion`
   * @throws NotFoundError if there is no such saga
   * @throws SerializationError
   */
  async update(sagaName, state, expectedVersion) {
    let given;
    try {
      given = this.#change("states.update", sagaName, state, expectedVersion).given;
    } catch (error) {
      return await this.#runner.refuse(error, "states.update");
    }
    await this.#runner.run(OPERATIONS["states.update"], given);
  }
  /** Removes the saga, if there is one. */
  async delete(sagaName, sagaId) {
    await this.#runner.run(OPERATIONS["states.delete"], [sagaName, sagaId]);
  }
  /** Removes the saga, if there is one. */
  async deleteByCorrelationId(sagaName, correlationId) {
    await this.#runner.run(OPERATIONS["states.deleteByCorrelationId"], [sagaName, correlationId]);
  }
  /**
   * Reads the state, has it changed, and stores it, from the start again where another update came between. All of it
   * together, with the time that `change` takes, has `operationTimeoutMs`. `updatedAt` becomes the present, unless `change` sets it.
   *
   * @param change may change what it is given and return that, or return another state; it may run several times
   * @returns the state as it is stored
   * @throws NotFoundError if there is no such saga
   * @throws ConcurrencyError if there were conflicts `maxRetries` times more
   * @throws TimeoutError
   */
  async modify(sagaName, sagaId, change, options) {
    let taken2;
    try {
      taken2 = this.#modifying(change, options);
    } catch (error) {
      return await this.#runner.refuse(error, "states.modify");
    }
    const time = new CallTime(this.#runner, "states.modify");
    for (let attempt = 0; ; attempt += 1) {
      const state = await time.of(() => this.getById(sagaName, sagaId));
      if (state === null) throw this.#notFound(sagaName, sagaId);
      const { version = 0, updatedAt, correlationId } = state.metadata;
      const unchanged = updatedAt?.getTime();
      const changed = await time.of(() => change(state));
      const make2 = () => {
        const metadata = metadataOf(changed);
        if (metadata === void 0 || metadata.sagaId !== sagaId) throw this.#invalid(notModified(changed), "states.modify");
        const isDated = metadata.updatedAt != null && !((0, import_types6.isDate)(metadata.updatedAt) && metadata.updatedAt.getTime() === unchanged);
        return { ...this.#change("states.modify", sagaName, changed, version, { isDated }), correlationId };
      };
      try {
        return await time.of(() => this.#write("states.modify", make2));
      } catch (error) {
        const isConflict = error instanceof SagaStoreError && error.code === "CONCURRENCY_CONFLICT";
        if (!isConflict || attempt >= taken2.maxRetries) throw error;
      }
      const pause2 = Math.random() * taken2.retryDelayMs * 2 ** attempt;
      await time.of(() => (0, import_promises6.setTimeout)(pause2));
    }
  }
  /**
   * Inserts a state that has no version, and updates the saga of a state that has one. The saga id is
   * `metadata.sagaId`, or `state.id`. The correlation id of a new saga is `state.correlationId`, or
   * `metadata.correlationId`, or its saga id.
   *
   * @param state with the version that it was read with in `metadata.version`; a new one has none
   * @returns the state as it is stored: save this one the next time. After an update its `metadata.correlationId` is the
   * one that `state` came with
   * @throws ConcurrencyError if another update came between
   * @throws NotFoundError if the saga has been deleted
   * @throws AlreadyExistsError if it has no version, and the saga id or the correlation id is taken
   */
  async save(sagaName, state) {
    const saving = this.#write("states.save", () => {
      const { id, correlationId } = state ?? {};
      const given = metadataOf(state);
      const sagaId = given?.sagaId ?? id;
      const metadata = { ...given, sagaId };
      const expected = metadata.version ?? void 0;
      if (expected !== void 0) {
        const change = this.#change("states.save", sagaName, state, expected, { metadata });
        return { ...change, correlationId: given?.correlationId };
      }
      const inserted = correlationId ?? given?.correlationId ?? sagaId;
      return { ...this.#insertion("states.save", sagaName, inserted, state, metadata), correlationId: inserted };
    });
    try {
      return await saving;
    } catch (error) {
      throw error instanceof AlreadyExistsError ? savedBefore(error) : error;
    }
  }
  /** `getById`, under the name that `@saga-bus/store-redis` documents. */
  findById(sagaName, sagaId) {
    return this.getById(sagaName, sagaId);
  }
  /** `getByCorrelationId`, under the name that `@saga-bus/store-redis` documents. */
  findByCorrelationId(sagaName, correlationId) {
    return this.getByCorrelationId(sagaName, correlationId);
  }
  /**
   * Sagas of a name in the order of their saga ids, in pages of at most `limit` (1 to 1,000, default 100). Give the
   * cursor of a page to get the next one. Each saga is listed once, also when others are inserted meanwhile. The last
   * page has no cursor. A page has fewer items where some cannot be read. On DynamoDB the list follows a change a
   * moment later, as its indexes do; the states in it are read consistently.
   *
   * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` is the page of the others
   */
  async findByName(sagaName, options) {
    const list2 = ["states", sagaName];
    let taken2;
    let after;
    try {
      taken2 = this.#taken(options, FIND, "states.findByName");
      after = positionOf(taken2.cursor, list2, "states.findByName", this.#runner.backend);
    } catch (error) {
      return await this.#runner.refuse(error, "states.findByName");
    }
    const { completed, limit = 100, onCorrupt } = taken2;
    const listed2 = await this.#runner.run(OPERATIONS["states.findByName"], [sagaName, completed, after, limit]);
    const { sagas, corrupt } = this.#json.listed(listed2, "states.findByName");
    const page = { items: sagas.map(({ state }) => state) };
    if (sizeOf3(listed2) >= limit) page.cursor = cursorOf(list2, lastOf(listed2));
    return withoutCorrupt(page, corrupt, onCorrupt);
  }
  /** How many sagas of a name there are; on DynamoDB a moment ago. */
  countByName(sagaName, options) {
    let completed;
    try {
      completed = this.#options(options, FILTER4, "states.countByName").completed;
    } catch (error) {
      return this.#runner.refuse(error, "states.countByName");
    }
    return this.#runner.run(OPERATIONS["states.countByName"], [sagaName, completed]);
  }
  /**
   * Removes sagas that ended before a time, at most `limit` of them, in batches. Answers how many. A saga ends when an
   * insert or an update first makes it completed. One that is inserted as completed has ended at its `updatedAt`. What
   * was removed before a `TIMEOUT` stays removed.
   */
  async deleteCompletedBefore(sagaName, before, options) {
    const operation = "states.deleteCompletedBefore";
    let limit;
    try {
      limit = mostOf(this.#options(options, { limit: true }, operation), operation, this.#runner.backend);
    } catch (error) {
      return await this.#runner.refuse(error, operation);
    }
    const until = takenDate(before);
    const time = new CallTime(this.#runner, operation);
    let removed = 0;
    while (removed < limit) {
      const batch = Math.min(MAX_LISTED, limit - removed);
      const count = await time.of(() => this.#runner.run(OPERATIONS["states.deleteCompletedBefore"], [sagaName, until, batch]));
      removed += count;
      if (count < batch) break;
    }
    return removed;
  }
  /**
   * Sagas that have not ended and whose `metadata.timeoutExpiresAt` has passed at `now` (default: the present). The
   * longest overdue comes first. At most `limit` (1 to 1,000, default 100) are answered; those that cannot be read do
   * not count, as long as there are no more than 1,000 of both. DynamoDB finds a saga a moment after it was stored.
   *
   * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` are the others
   */
  async findTimedOut(options) {
    let taken2;
    try {
      taken2 = this.#taken(options, TIMED_OUT, "states.findTimedOut");
    } catch (error) {
      return await this.#runner.refuse(error, "states.findTimedOut");
    }
    const { limit = 100, sagaName, onCorrupt } = taken2;
    const now = takenDate(taken2.now ?? /* @__PURE__ */ new Date());
    for (let most = limit; ; ) {
      const listed2 = await this.#runner.run(OPERATIONS["states.findTimedOut"], [now, sagaName, most]);
      const { sagas, corrupt } = this.#json.listed(listed2, "states.findTimedOut");
      const enough = limit + corrupt.length;
      const isAll = enough <= most || most >= MAX_LISTED || sizeOf3(listed2) < most;
      if (isAll) return withoutCorrupt(sagas.slice(0, limit), corrupt, onCorrupt);
      most = Math.min(MAX_LISTED, enough);
    }
  }
  /**
   * The names that sagas have, in their order, in pages of at most `limit` (1 to 1,000, default 100). Give the cursor of a
   * page to get the next one. It goes from name to name, whatever there is of each. On Redis sagas count whose names are
   * known: for those that an older version or other software has stored, call `reindex` once. On DynamoDB the list
   * follows a change a moment later, and begins with the first saga of a name that is stored otherwise than in the
   * application's own `TransactItems`.
   */
  async names(options) {
    const operation = "states.names";
    const list2 = ["states", "names", null];
    let taken2;
    let after;
    try {
      taken2 = this.#options(options, NAMES2, operation);
      after = positionOf(taken2.cursor, list2, operation, this.#runner.backend);
    } catch (error) {
      return await this.#runner.refuse(error, operation);
    }
    const { limit = 100 } = taken2;
    const items = await this.#runner.run(OPERATIONS[operation], [after, limit]);
    const last2 = items.length >= limit ? items.at(-1) : void 0;
    return last2 === void 0 ? { items } : { items, cursor: cursorOf(list2, last2) };
  }
  /**
   * Sagas that have not ended and that nobody has changed for a while: their `metadata.updatedAt` is at least
   * `unchangedForMs` ago. In the order of names and saga ids, in pages of at most `limit` (1 to 1,000, default 100). Give
   * the cursor of a page to get the next one: what is old is judged by the time of the first page. It reads the open sagas
   * of a name in their order, and answers those that are old: there is no index by `updatedAt`, which changes each time.
   *
   * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` is the page of the others
   */
  async findStale(options) {
    const operation = "states.findStale";
    let taken2;
    let from;
    try {
      taken2 = this.#taken(options, STALE, operation);
      from = stalePlace(taken2, this.#runner.backend);
    } catch (error) {
      return await this.#runner.refuse(error, operation);
    }
    const { page, corrupt } = await stalePage(this.#runner, this.#json, taken2, from);
    return withoutCorrupt(page, corrupt, taken2.onCorrupt);
  }
  /**
   * For sagas that other software has written to Redis, such as `@saga-bus/store-redis`. It does not write the lists
   * that `findByName`, `countByName` and `findTimedOut` read, so these do not find its sagas. `reindex` reads all keys
   * of every primary, in small steps, and puts each state into its lists. States and versions stay as they are. If it
   * is interrupted, call it again. Call it once when the new version runs, and once more when the last old worker has
   * ended. On the other backends there is nothing to do: the database keeps the lists.
   *
   * @param options `sagaName`: only the sagas of this name
   * @throws UnsupportedError in a transaction
   */
  async reindex(options) {
    let sagaName;
    try {
      sagaName = this.#options(options, { sagaName: true }, "states.reindex").sagaName;
    } catch (error) {
      return await this.#runner.refuse(error, "states.reindex");
    }
    const result = { found: 0, added: 0, removed: 0, unreadable: 0 };
    let cursor;
    do {
      const part = await this.#runner.run(OPERATIONS["states.reindex"], [sagaName, cursor]);
      for (const name of ["found", "added", "removed", "unreadable"]) result[name] += part[name];
      cursor = part.cursor;
    } while (cursor !== void 0);
    return result;
  }
  /**
   * The same sagas as `findTimedOut`, each given to one worker. Until the lease ends, `claimTimedOut` gives the saga to
   * nobody else, and not to the same worker again. (`findTimedOut` still shows it.) State and version stay as they are:
   * the worker does its work and then calls `update`. An update that ends the saga, or changes or removes its timeout,
   * ends the lease too. The server's clock decides when a lease is over, where the server has one.
   *
   * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` are the others, which the
   * worker has
   * @throws SagaStoreError `UNSUPPORTED` in a transaction that is only sent at its end (Redis, DynamoDB)
   */
  async claimTimedOut(options) {
    let taken2;
    try {
      taken2 = this.#taken(options, CLAIM3, "states.claimTimedOut");
    } catch (error) {
      return await this.#runner.refuse(error, "states.claimTimedOut");
    }
    const { workerId, leaseMs, limit = 100, sagaName, onCorrupt } = taken2;
    const now = takenDate(taken2.now ?? /* @__PURE__ */ new Date());
    const began = Date.now();
    const listed2 = await this.#runner.run(OPERATIONS["states.claimTimedOut"], [workerId, leaseMs, now, sagaName, limit]);
    const { sagas, corrupt } = this.#json.listed(listed2, "states.claimTimedOut");
    const claimed = sagas.map((saga) => ({ ...saga, workerId, leasedUntil: new Date(began + leaseMs) }));
    return withoutCorrupt(claimed, corrupt, onCorrupt);
  }
  /**
   * All sagas as they are stored, one by one, page by page behind the scenes: whole records for `importRecords` of another
   * store. What has expired is left out; what is stored meanwhile may be left out. Nothing is blocked.
   *
   * @throws CorruptDataError if one cannot be read, without `onUnreadable`
   */
  exportAll(options) {
    return this.#facet.exportAll(options);
  }
  /**
   * Stores sagas as they are: versions, dates, and all else. What has expired is counted, and not stored.
   *
   * @throws TransferError if one of them could not be stored: all others are
   */
  importRecords(records, options) {
    return this.#facet.importRecords(records, options);
  }
  /** How many sagas there are; about, where counting would read everything. */
  count() {
    return this.#facet.countOf("states");
  }
  /** No async function: each of its promises costs event-loop time. */
  #find(operation, sagaName, id) {
    return this.#runner.run(operation, [sagaName, id]).then((found) => found === null ? null : this.#json.parsed(found, id));
  }
  /** Stores what `make` makes; answers the state as it is stored. */
  async #write(method, make2) {
    let record;
    try {
      record = make2();
    } catch (error) {
      return await this.#runner.refuse(error, method);
    }
    await this.#runner.run(record.operation, record.given);
    const { stored: stored2, correlationId } = record;
    if (correlationId !== void 0) Object.assign(stored2.metadata, { correlationId });
    return stored2;
  }
  #insertion(method, sagaName, correlationId, state, metadata = metadataOf(state)) {
    const version = metadata?.version ?? 1;
    const { given, stored: stored2 } = this.#json.record(sagaName, state, metadata, { operation: method, version, isChange: false });
    return { operation: OPERATIONS["states.insert"], given: [...given, correlationId], stored: stored2 };
  }
  /** `isDated`: its `updatedAt` is meant, whatever it is. */
  #change(method, sagaName, state, expected, { isDated = false, metadata = metadataOf(state) } = {}) {
    if (typeof expected !== "number") throw this.#invalid("the version that is expected must be a whole number", method);
    const version = expected + 1;
    const { given, stored: stored2 } = this.#json.record(sagaName, state, metadata, { operation: method, version, isChange: !isDated });
    return { operation: OPERATIONS["states.update"], given: [...given, expected], stored: stored2 };
  }
  #options(options, accepted, method) {
    return optionsOf(options, accepted, method, this.#runner.backend);
  }
  /** The options of what lists sagas. */
  #taken(options, accepted, method) {
    const taken2 = this.#options(options, accepted, method);
    if (taken2.onCorrupt === void 0 || typeof taken2.onCorrupt === "function") return taken2;
    throw this.#invalid("option 'onCorrupt' must be a function", method);
  }
  #modifying(change, options) {
    const { maxRetries = 3, retryDelayMs = 100 } = this.#options(options, MODIFY, "states.modify");
    for (const [name, value] of Object.entries({ maxRetries, retryDelayMs })) {
      const isCount = Number.isSafeInteger(value) && value >= 0;
      if (!isCount) throw this.#invalid(`${name} must be a whole number from 0 on`, "states.modify");
    }
    if (typeof change !== "function") throw this.#invalid("modify takes a function", "states.modify");
    return { maxRetries, retryDelayMs };
  }
  #notFound(sagaName, sagaId) {
    const message = `not found: no saga '${sagaName}' has this saga id`;
    const where = { backend: this.#runner.backend, operation: "states.modify" };
    return errorOf("NOT_FOUND", message, { ...where, id: sagaId, details: { sagaName, sagaId } });
  }
  #invalid(message, operation) {
    return invalidArgument(message, operation, this.#runner.backend);
  }
};
function notModified(changed) {
  if (changed === void 0) return "the function of modify returned undefined: did you forget to return the changed state?";
  return "the function of modify must return the state with its metadata: `{ ...state, \u2026 }`, where metadata.sagaId is the saga's";
}
function savedBefore(error) {
  const { backend, id, sagaName, sagaId, correlationId } = error;
  const details = known({ sagaName, sagaId, correlationId });
  const which = sagaId === void 0 ? "correlation id" : "saga id";
  const message = `a saga '${sagaName}' with this ${which} already exists, and the state has no metadata.version, so that it is taken for a new one: save what an earlier save, or a read, has returned`;
  return errorOf("ALREADY_EXISTS", message, { backend, operation: "states.save", id, details, cause: error });
}

// ts/moving/files.ts
var import_node_stream = require("node:stream");

// ts/moving/ends.ts
var MAX_BATCH4 = 1e3;
var StoreSource = class {
  where;
  #records;
  constructor(records, facts) {
    this.where = facts.where;
    this.#records = records;
  }
  async open() {
  }
  count(kind) {
    return this.#records.count(kind);
  }
  page(kind, after, limit, maxBytes) {
    return this.#records.scan(kind, { limit, maxBytes, ...after !== void 0 && { after } });
  }
  look(kind, after, limit, maxBytes) {
    if (kind !== "payloads") return this.page(kind, after, limit, maxBytes);
    return this.#records.sizes({ limit, ...after !== void 0 && { after } });
  }
  async close() {
  }
};
var StoreSink = class {
  where;
  concurrency = 32;
  #records;
  #facts;
  constructor(records, facts) {
    this.where = facts.where;
    this.#records = records;
    this.#facts = facts;
  }
  maxPayloadBytes(id) {
    return this.#facts.maxPayloadBytes(id);
  }
  async open() {
  }
  put(kind, records, onConflict) {
    return this.#records.importRecords(kind, records, onConflict);
  }
  async close() {
  }
};

// ts/moving/facts.ts
var NAMING = /^(namespace|schema)$|[Tt]ableName$|[Cc]ollectionName$|[Kk]eyPrefix$/;
var OF_STORES = /* @__PURE__ */ new WeakMap();
function giveFacts(store, facts) {
  OF_STORES.set(store, facts);
}
function factsOf(store) {
  return OF_STORES.get(store);
}
function whereOf(place, options) {
  const names = Object.entries(options).filter(([name, value]) => NAMING.test(name) && typeof value === "string").sort(([one2], [other2]) => one2 < other2 ? -1 : 1);
  return names.length === 0 ? place : `${place} ${names.map(([name, value]) => `${name}=${value}`).join(" ")}`;
}

// ts/moving/file-sink.ts
var import_node_crypto5 = require("node:crypto");
var import_promises8 = require("node:fs/promises");
var import_node_path3 = require("node:path");

// ts/moving/lines.ts
var FILE_FORMAT = "sagastore";
var FILE_VERSION = 1;
var PART = 2 * 1024 * 1024;
var TIMES = /* @__PURE__ */ new Set([
  "createdAt",
  "updatedAt",
  "completedAt",
  "timeoutAt",
  "expiresAt",
  "dueAt",
  "parkedAt",
  "availableAt",
  "occurredAt",
  "claimedAt",
  "sentAt",
  "deadAt",
  "leaseUntil"
]);
var AT = 7;
function* linesOf(kind, record) {
  const fields = { kind };
  let large;
  for (const [name, value] of Object.entries(record)) {
    if (value instanceof Uint8Array) {
      const isLarge = value.byteLength > PART;
      if (isLarge) large = value;
      fields[`${name}${isLarge ? "Parts" : "Base64"}`] = isLarge ? Math.ceil(value.byteLength / PART) : base64(value);
    } else fields[name] = value;
  }
  const text2 = JSON.stringify(fields);
  if (text2.length <= 2 * PART) yield text2;
  else {
    const parts = Math.ceil(text2.length / PART);
    yield JSON.stringify({ kind, textParts: parts });
    for (let part = 0; part < parts; part += 1) yield JSON.stringify({ part, text: text2.slice(part * PART, (part + 1) * PART) });
  }
  for (let at = 0; large !== void 0 && at < large.byteLength; at += PART) {
    yield JSON.stringify({ part: at / PART, data: base64(large.subarray(at, at + PART)) });
  }
}
function base64(bytes) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
var LineReader = class {
  /** A record whose lines are not all there yet. */
  #open;
  /** Whether the last record is whole. */
  get isWhole() {
    return this.#open === void 0;
  }
  /** The record that this line completes, if it does. */
  take(line) {
    if (this.#open !== void 0) return this.#part(this.#open, line);
    return this.#begin(line);
  }
  #begin(fields) {
    if (!RECORD_KINDS.includes(fields.kind)) throw damaged("a line is neither a record nor a part of one");
    for (const name of ["textParts", "dataParts", "payloadParts"]) {
      const parts = fields[name];
      if (parts === void 0) continue;
      if (!(Number.isSafeInteger(parts) && parts > 0)) throw damaged(`${name} is no number`);
      delete fields[name];
      this.#open = { fields, name: name.slice(0, -"Parts".length), parts, got: [] };
      return void 0;
    }
    return recordOf(fields);
  }
  #part(open3, { part, text: text2, data }) {
    const value = open3.name === "text" ? text2 : data;
    if (part !== open3.got.length || typeof value !== "string") throw damaged("a part of a record is missing");
    open3.got.push(open3.name === "text" ? value : Buffer.from(value, "base64"));
    if (open3.got.length < open3.parts) return void 0;
    this.#open = void 0;
    if (open3.name === "text") return this.#begin(parsedLine(open3.got.join("")));
    return recordOf({ ...open3.fields, [open3.name]: Buffer.concat(open3.got) });
  }
};
function parsedLine(line) {
  let read;
  try {
    read = JSON.parse(line);
  } catch (cause) {
    throw damaged("a line is no JSON", cause);
  }
  if (typeof read === "object" && read !== null && !Array.isArray(read)) return read;
  throw damaged("a line is no object");
}
function damaged(what, cause) {
  return errorOf("CORRUPT_DATA", `the file is damaged: ${what}`, { operation: "importFromFile", cause });
}
function recordOf({ kind, ...fields }) {
  const record = {};
  for (const [name, value] of Object.entries(fields)) {
    if (name.endsWith("Base64") && typeof value === "string") record[name.slice(0, -"Base64".length)] = Buffer.from(value, "base64");
    else if (TIMES.has(name)) record[name] = timeOf2(value);
    else if (name === "entries" && Array.isArray(value)) record[name] = value.map(entryOf3);
    else record[name] = value;
  }
  return { kind, record };
}
function entryOf3(entry) {
  return Array.isArray(entry) ? entry.map((field, index) => index === AT ? timeOf2(field) : field) : entry;
}
function timeOf2(value) {
  const date = new Date(value);
  if (typeof value === "string" && !Number.isNaN(date.getTime())) return date;
  throw damaged("a time cannot be read");
}

// ts/moving/zstd.ts
var import_node_worker_threads = require("node:worker_threads");

// ts/native.ts
var import_node_fs = require("node:fs");
var import_node_module2 = require("node:module");
var import_node_path2 = require("node:path");

// ts/native-failure.ts
var PACKAGED = [
  "linux-x64-gnu",
  "linux-arm64-gnu",
  "linux-x64-musl",
  "linux-arm64-musl",
  "darwin-x64",
  "darwin-arm64",
  "win32-x64-msvc",
  "win32-arm64-msvc"
];
var NO_LOADER = /dynamic require of|require is not defined|unknown file extension|no loader/i;
function causeLine(error) {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
}
function describe3(failure) {
  const { target, file, place, override, causes } = failure;
  const name = `sagastore-${target}`;
  const isAbsent = override === void 0 && causes.every((cause) => cause.startsWith(`Cannot find module '${name}'`));
  const looked = override === void 0 ? `Looked for the package ${name} and for the file ${file} in ${place}.` : `Looked for ${override} only, because NAPI_RS_NATIVE_LIBRARY_PATH is set.`;
  return [
    `sagastore: the native addon for ${target} cannot be loaded (${runtime()}).`,
    looked,
    `Cause: ${isAbsent ? `neither is there (Cannot find module '${name}')` : causes.join("; ")}`,
    advice(failure, name, isAbsent)
  ].join("\n");
}
function advice({ target, file, place, override, causes, error }, name, isAbsent) {
  const cause = causes.join("; ");
  const refused = rights(error, cause, place);
  if (refused !== void 0) return refused;
  const glibc = /version [`'‘]GLIBC_([\d.]+)['’] not found/.exec(cause)?.[1];
  if (glibc !== void 0) {
    return `The addon needs glibc ${glibc} or later, and this system has ${glibcHere() ?? "an older one"}: run it on a newer system, or build it on this one.`;
  }
  if (NO_LOADER.test(cause)) {
    return "What has bundled this program, or runs it, does not load .node files: leave sagastore out of the bundle (docs/bundlers.md has the setting).";
  }
  if (override !== void 0) return `Unset it, and the package ${name} (file ${file}) is used.`;
  if (!PACKAGED.includes(target)) return `There is no package for ${target}. There are packages for ${PACKAGED.join(", ")}.`;
  if (isAbsent && process.versions.deno !== void 0) {
    return `Deno sees the package ${name} only with --allow-read. If it has that, install the package in the same version as sagastore.`;
  }
  if (isAbsent) {
    return `${name} is an optional dependency. It is left out by --omit=optional, by a lockfile or a node_modules folder made on another platform, and by a bundle without it: install it in the same version as sagastore.`;
  }
  return "The file is there, but it is damaged or made for another system (another libc, or a newer one): install the dependencies again, on this machine.";
}
function rights(error, cause, place) {
  const { code, permission } = typeof error === "object" && error !== null ? error : {};
  if (process.versions.deno !== void 0 && /requires \w+ access|notcapable/i.test(cause)) {
    return "Deno loads native addons only with --allow-ffi, --allow-read and --allow-env.";
  }
  if (code === "ERR_DLOPEN_DISABLED") {
    return isRestricted() ? "Node.js was started with --permission, which forbids native addons: add --allow-addons." : "Node.js was started with --no-addons: leave it out.";
  }
  if (code === "ERR_ACCESS_DENIED") {
    return `Node.js was started with --permission, and ${permission ?? "this"} is forbidden: add --allow-addons, and --allow-fs-read for ${place} and the folder of the addon.`;
  }
  return void 0;
}
function isRestricted() {
  return process.permission !== void 0;
}
function runtime() {
  const { bun, deno, node } = process.versions;
  if (bun !== void 0) return `Bun ${bun}`;
  if (deno !== void 0) return `Deno ${deno}`;
  return `Node.js ${node}`;
}
function glibcHere() {
  try {
    const { header } = process.report.getReport();
    return header.glibcVersionRuntime;
  } catch {
    return void 0;
  }
}

// ts/native.ts
var native = load();
function load() {
  const target = platformTarget();
  const failure = {
    target,
    file: `sagastore.${target}.node`,
    place: here(),
    override: void 0,
    causes: [],
    error: void 0
  };
  try {
    failure.override = process.env.NAPI_RS_NATIVE_LIBRARY_PATH || void 0;
    const binding = failure.override === void 0 ? requireAddon(failure) : requireFile(failure.override);
    if (typeof binding?.NativeStore === "function") return binding;
    failure.causes.push("what was loaded is not the addon of sagastore");
  } catch (error) {
    failure.error = error;
    failure.causes.push(causeLine(error));
  }
  throw new Error(describe3(failure), { cause: failure.error });
}
function requireAddon({ file, place, target }) {
  const local = (0, import_node_path2.join)(place, file);
  if (isThere(local)) return requireFile(local);
  try {
    switch (target) {
      case "linux-x64-gnu":
        return require("sagastore-linux-x64-gnu");
      case "linux-arm64-gnu":
        return require("sagastore-linux-arm64-gnu");
      case "linux-x64-musl":
        return require("sagastore-linux-x64-musl");
      case "linux-arm64-musl":
        return require("sagastore-linux-arm64-musl");
      case "darwin-x64":
        return require("sagastore-darwin-x64");
      case "darwin-arm64":
        return require("sagastore-darwin-arm64");
      case "win32-x64-msvc":
        return require("sagastore-win32-x64-msvc");
      case "win32-arm64-msvc":
        return require("sagastore-win32-arm64-msvc");
    }
  } catch (error) {
    throw error;
  }
  throw new Error(`Cannot find module 'sagastore-${target}'`);
}
function requireFile(file) {
  return (0, import_node_module2.createRequire)((0, import_node_path2.join)(here(), "native.js"))(file);
}
function here() {
  return typeof __dirname === "string" ? __dirname : process.cwd();
}
function isThere(file) {
  try {
    return (0, import_node_fs.existsSync)(file);
  } catch {
    return false;
  }
}
function platformTarget() {
  const { platform, arch } = process;
  if (platform === "linux") return `linux-${arch}-${isMusl() ? "musl" : "gnu"}`;
  if (platform === "win32") return `win32-${arch}-msvc`;
  return `${platform}-${arch}`;
}
function isMusl() {
  try {
    return (0, import_node_fs.readFileSync)("/usr/bin/ldd", "utf8").includes("musl");
  } catch {
  }
  try {
    const report = process.report;
    const { excludeNetwork } = report;
    report.excludeNetwork = true;
    const { header } = report.getReport();
    if (excludeNetwork !== void 0) report.excludeNetwork = excludeNetwork;
    return header !== void 0 && header.glibcVersionRuntime === void 0;
  } catch {
  }
  return false;
}

// ts/moving/zstd.ts
var ZSTD_MAGIC = Buffer.from([40, 181, 47, 253]);
var EMPTY = new Uint8Array();
var Zstd = class {
  #native;
  /** @param level 1 to 19: it compresses; null: it decompresses */
  constructor(level) {
    this.#native = native.NativeZstd.open(level, realSetImmediate, import_node_worker_threads.isMainThread);
  }
  /** What comes out of a chunk, a megabyte at a time. */
  push(chunk) {
    return this.#steps(chunk, false);
  }
  /** What is left at the end. Throws `CORRUPT_DATA` if what was compressed is cut off. */
  end() {
    return this.#steps(EMPTY, true);
  }
  async *#steps(chunk, isEnd) {
    for (let rest = chunk; ; ) {
      let step;
      try {
        step = await this.#native.step(rest, isEnd);
      } catch (reason) {
        throw toError(reason);
      }
      const [consumed, isDone, output] = step;
      if (output.byteLength > 0) yield output;
      if (isDone) return;
      rest = rest.subarray(consumed);
    }
  }
};

// ts/moving/file-sink.ts
var CHUNK = 256 * 1024;
var FileSink = class {
  where;
  /** Lines stand in the order in which records are read. */
  concurrency = 1;
  #bytes;
  #zstd;
  #hash = (0, import_node_crypto5.createHash)("sha256");
  #counts = {};
  #out;
  #gathered = [];
  #size = 0;
  /** @param level of Zstandard; none: it is not compressed */
  constructor(to, { level, overwrite }) {
    this.where = typeof to === "string" ? `file ${to}` : "stream";
    this.#bytes = () => typeof to === "string" ? PartialFile.open(to, overwrite) : Promise.resolve(new StreamOut(to));
    this.#zstd = level === void 0 ? void 0 : new Zstd(level);
  }
  maxPayloadBytes() {
    return Number.POSITIVE_INFINITY;
  }
  async open(kinds, source) {
    this.#out = await this.#bytes();
    for (const kind of kinds) this.#counts[kind] = 0;
    const head = {
      format: FILE_FORMAT,
      version: FILE_VERSION,
      kinds: [...kinds],
      source,
      createdAt: (/* @__PURE__ */ new Date()).toISOString()
    };
    await this.#line(JSON.stringify(head));
  }
  async put(kind, records) {
    const fates = [];
    const now = Date.now();
    for (const record of records) {
      if (isOver(record, now)) {
        fates.push("expired");
        continue;
      }
      for (const line of linesOf(kind, record)) await this.#line(line);
      this.#counts[kind] = (this.#counts[kind] ?? 0) + 1;
      fates.push("stored");
    }
    return fates;
  }
  async close(isWhole) {
    const out = this.#out;
    this.#out = void 0;
    if (out === void 0) return;
    if (!isWhole) return await out.abandon();
    try {
      const end = { end: true, counts: this.#counts, digest: `sha256:${this.#hash.digest("hex")}` };
      this.#gathered.push(Buffer.from(`${JSON.stringify(end)}
`));
      await this.#write(out);
      if (this.#zstd !== void 0) for await (const bytes of this.#zstd.end()) await out.write(bytes);
      await out.finish();
    } catch (error) {
      await out.abandon();
      throw error;
    }
  }
  async #line(line) {
    const bytes = Buffer.from(`${line}
`);
    this.#hash.update(bytes);
    this.#gathered.push(bytes);
    this.#size += bytes.byteLength;
    if (this.#size >= CHUNK && this.#out !== void 0) await this.#write(this.#out);
  }
  async #write(out) {
    const bytes = Buffer.concat(this.#gathered);
    this.#gathered = [];
    this.#size = 0;
    if (this.#zstd === void 0) return await out.write(bytes);
    for await (const compressed of this.#zstd.push(bytes)) await out.write(compressed);
  }
};
var PartialFile = class _PartialFile {
  #path;
  #file;
  constructor(path, file) {
    this.#path = path;
    this.#file = file;
  }
  static async open(path, overwrite) {
    const isThere2 = await (0, import_promises8.stat)(path).then(
      () => true,
      () => false
    );
    if (isThere2 && !overwrite) {
      const message = `the file '${path}' exists: give another name, or the option 'overwrite'`;
      throw errorOf("ALREADY_EXISTS", message, { operation: "exportToFile" });
    }
    return new _PartialFile(path, await (0, import_promises8.open)(`${path}.partial`, "w", 384));
  }
  async write(bytes) {
    for (let at = 0; at < bytes.byteLength; ) at += (await this.#file.write(bytes, at)).bytesWritten;
  }
  async finish() {
    await this.#file.sync();
    await this.#file.close();
    await (0, import_promises8.rename)(`${this.#path}.partial`, this.#path);
    const directory = await (0, import_promises8.open)((0, import_node_path3.dirname)(this.#path), "r").catch(() => void 0);
    await directory?.sync().catch(() => void 0);
    await directory?.close();
  }
  async abandon() {
    await this.#file.close().catch(() => void 0);
  }
};
var StreamOut = class {
  #stream;
  constructor(stream) {
    this.#stream = stream;
    stream.on("error", () => void 0);
  }
  async write(bytes) {
    await new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error) => error == null ? resolve() : reject(error));
    });
  }
  async finish() {
  }
  async abandon() {
  }
};

// ts/moving/file-source.ts
var import_node_crypto6 = require("node:crypto");
var import_node_fs2 = require("node:fs");
var LF = 10;
var MAX_LINE = 64 * 1024 * 1024;
var END = '{"end":true';
var FileSource = class {
  where;
  #from;
  #kinds;
  #allowPartial;
  #counts;
  #records;
  /** Read, and of a later page. */
  #next;
  #pages = 0;
  constructor(from, kinds, allowPartial) {
    this.where = typeof from === "string" ? `file ${from}` : "stream";
    this.#from = from;
    this.#kinds = kinds;
    this.#allowPartial = allowPartial;
  }
  async open() {
    if (typeof this.#from === "string") {
      const lines = new CheckedLines(this.#from, this.#allowPartial);
      for await (const _ of lines) ;
      this.#counts = lines.end?.counts;
    }
    this.#records = this.#read();
  }
  async count(kind) {
    return { count: this.#counts?.[kind] ?? 0, approximate: this.#counts === void 0 };
  }
  async page(kind, _after, limit, maxBytes) {
    const records = [];
    for (let bytes = 0; records.length < limit && bytes < maxBytes; ) {
      if (this.#next === void 0) {
        const read = await this.#records?.next();
        if (read === void 0 || read.done === true) return { records, unreadable: [], cursor: null };
        this.#next = read.value;
      }
      if (this.#next.kind !== kind) return { records, unreadable: [], cursor: null };
      records.push(this.#next.record);
      bytes += bytesOf2(kind, this.#next.record);
      this.#next = void 0;
    }
    this.#pages += 1;
    return { records, unreadable: [], cursor: String(this.#pages) };
  }
  look(kind, after, limit, maxBytes) {
    return this.page(kind, after, limit, maxBytes);
  }
  async close(isWhole) {
    if (isWhole && this.#records !== void 0) {
      const left = this.#next ?? (await this.#records.next()).value;
      if (left !== void 0) throw damaged(`records of the kind '${left.kind}' stand behind those of another kind`);
    }
    await this.#records?.return(void 0);
  }
  /** The records that are asked for, in the order of the kinds. */
  async *#read() {
    const reader = new LineReader();
    let place = 0;
    for await (const line of new CheckedLines(this.#from, this.#allowPartial)) {
      const found = reader.take(line);
      if (found === void 0) continue;
      const at = RECORD_KINDS.indexOf(found.kind);
      if (at < place) throw damaged(`records of the kind '${found.kind}' stand behind those of another kind`);
      place = at;
      if (this.#kinds.includes(found.kind)) yield found;
    }
    if (!reader.isWhole && !this.#allowPartial) throw damaged("a part of a record is missing");
  }
};
var CheckedLines = class {
  #from;
  #allowPartial;
  end;
  constructor(from, allowPartial) {
    this.#from = from;
    this.#allowPartial = allowPartial;
  }
  async *[Symbol.asyncIterator]() {
    const hash = (0, import_node_crypto6.createHash)("sha256");
    let isFirst = true;
    for await (const line of this.#lines()) {
      if (this.end !== void 0) throw damaged("there is something behind its last line");
      const text2 = line.toString();
      if (isFirst) {
        checkHead(text2);
        isFirst = false;
      } else if (text2.startsWith(END)) {
        this.end = endOf(text2);
        if (this.end.digest !== `sha256:${hash.digest("hex")}`) throw damaged("its digest is another one than that of its lines");
        continue;
      } else yield parsedLine(text2);
      hash.update(line).update("\n");
    }
    if (isFirst) throw damaged("it is empty");
    if (this.end === void 0 && !this.#allowPartial) throw notWhole();
  }
  /** Whole lines. What is cut off is left out, where that is allowed. */
  async *#lines() {
    let rest = [];
    let size = 0;
    try {
      for await (const chunk of this.#bytes()) {
        let begin = 0;
        for (let at = chunk.indexOf(LF); at !== -1; at = chunk.indexOf(LF, begin)) {
          const line = chunk.subarray(begin, at);
          yield rest.length === 0 ? line : Buffer.concat([...rest, line]);
          rest = [];
          size = 0;
          begin = at + 1;
        }
        if (begin === chunk.byteLength) continue;
        rest.push(chunk.subarray(begin));
        size += chunk.byteLength - begin;
        if (size > MAX_LINE) throw damaged("a line is too long");
      }
    } catch (error) {
      const isCutOff = error instanceof SagaStoreError && error.code === "CORRUPT_DATA" && error.message.includes("cut off");
      if (!isCutOff) throw error;
      if (!this.#allowPartial) throw notWhole(error);
    }
    if (rest.length > 0 && !this.#allowPartial) throw notWhole();
  }
  async *#bytes() {
    const stream = typeof this.#from === "string" ? (0, import_node_fs2.createReadStream)(this.#from, { highWaterMark: 256 * 1024 }) : this.#from;
    let zstd;
    let beginning = Buffer.alloc(0);
    const decoded = async function* (chunk) {
      if (zstd === void 0) yield chunk;
      else yield* zstd.push(chunk);
    };
    for await (const chunk of stream) {
      const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
      if (beginning === void 0) {
        yield* decoded(bytes);
        continue;
      }
      beginning = Buffer.concat([beginning, bytes]);
      if (beginning.byteLength < ZSTD_MAGIC.byteLength) continue;
      if (beginning.subarray(0, ZSTD_MAGIC.byteLength).equals(ZSTD_MAGIC)) zstd = new Zstd(null);
      yield* decoded(beginning);
      beginning = void 0;
    }
    if (beginning !== void 0 && beginning.byteLength > 0) yield beginning;
    if (zstd !== void 0) yield* zstd.end();
  }
};
function checkHead(text2) {
  let head = null;
  try {
    head = JSON.parse(text2);
  } catch {
  }
  if (head?.format !== FILE_FORMAT || !Array.isArray(head.kinds)) throw damaged("its first line is none of sagastore");
  if (head.version !== FILE_VERSION) {
    const message = `the file has version ${head.version} of its format; this version of sagastore reads ${FILE_VERSION}`;
    throw errorOf("UNSUPPORTED", message, { operation: "importFromFile" });
  }
}
function endOf(text2) {
  const end = parsedLine(text2);
  if (typeof end.counts === "object" && end.counts !== null && typeof end.digest === "string") return end;
  throw damaged("its last line cannot be read");
}
function notWhole(cause) {
  const message = "the file is not whole: its last line is missing. 'allowPartial' imports what is there";
  return errorOf("CORRUPT_DATA", message, { operation: "importFromFile", cause });
}

// ts/moving/checkpoint.ts
var FORMAT = "sagastore-checkpoint";
var VERSION = 1;
function writtenCheckpoint({ source, target, kinds }, { at, counts }) {
  return JSON.stringify({ format: FORMAT, version: VERSION, source, target, kinds, at, counts });
}
function readCheckpoint(text2, operation) {
  let read;
  try {
    read = JSON.parse(text2);
  } catch (cause) {
    throw invalidArgument("option 'resumeFrom' must be a checkpoint", operation, void 0, cause);
  }
  if (read?.format !== FORMAT) throw invalidArgument("option 'resumeFrom' must be a checkpoint", operation);
  if (read.version !== VERSION) throw invalidArgument("the checkpoint was written by another version of sagastore", operation);
  const { source, target, kinds, at, counts } = read;
  const isPlace = at === null || typeof at === "object" && RECORD_KINDS.includes(at.kind) && kinds?.includes(at.kind) && isCursor(at.cursor);
  if (typeof source !== "string" || typeof target !== "string" || !Array.isArray(kinds) || !isPlace || !areCounts(counts)) {
    throw invalidArgument("option 'resumeFrom' must be a checkpoint: this one is damaged", operation);
  }
  return { source, target, kinds, at, counts };
}
function isCursor(cursor) {
  return cursor === null || typeof cursor === "string";
}
function areCounts(counts) {
  return typeof counts === "object" && counts !== null && Object.values(counts).every((one2) => typeof one2 === "object" && one2 !== null && Object.values(one2).every(Number.isSafeInteger));
}
function foreignCheckpoint(checkpoint, move) {
  const differing = ["source", "target", "kinds"].filter((name) => String(checkpoint[name]) !== String(move[name]));
  if (differing.length === 0) return void 0;
  const what = differing.map((name) => `its ${name} ${name === "kinds" ? "are" : "is"} '${checkpoint[name]}', not '${move[name]}'`);
  const error = errorOf("TRANSFER", `the checkpoint is one of another move: ${what.join(", ")}`, { operation: "transfer" });
  return Object.assign(error, { counts: {}, rejected: [] });
}

// ts/moving/tally.ts
var Tally = class {
  /** Of everything that the target has answered. */
  counts;
  #move;
  /** Up to here everything is acknowledged: batches are, one behind the other. */
  #place;
  /** The checkpoint of a dry run: nothing was moved, so that the real one begins where this one has. */
  #fixed;
  #batches = [];
  #began = performance.now();
  /** Of the kind that is moved. */
  #kind;
  constructor(move, place, isDry) {
    this.#move = move;
    this.#place = place;
    this.#fixed = isDry ? writtenCheckpoint(move, place) : void 0;
    this.counts = structuredClone(place.counts);
    for (const kind of move.kinds) this.counts[kind] ??= noCounts();
  }
  get checkpoint() {
    return this.#fixed ?? writtenCheckpoint(this.#move, this.#place);
  }
  get elapsedMs() {
    return performance.now() - this.#began;
  }
  /** The kinds that are still to be moved, and where. */
  left() {
    const { at } = this.#place;
    if (at === null) return [];
    const { kinds } = this.#move;
    return kinds.slice(kinds.indexOf(at.kind)).map((kind) => ({ kind, after: kind === at.kind ? at.cursor ?? void 0 : void 0 }));
  }
  of(kind) {
    this.counts[kind] ??= noCounts();
    return this.counts[kind];
  }
  /** A kind is begun, of which there are about so many records. */
  begin(kind, total) {
    this.#batches = [];
    this.#kind = { kind, ...total, began: performance.now(), before: lookedAt(this.of(kind)) };
  }
  /** A batch is on its way. */
  send(batch) {
    this.#batches.push(batch);
  }
  /** All is known of a batch. Whether the checkpoint has moved. */
  settle(kind, batch, counts) {
    batch.counts = counts;
    let hasMoved = false;
    for (let [first] = this.#batches; first?.counts !== void 0; [first] = this.#batches) {
      this.#batches.shift();
      const settled3 = this.#place.counts[kind] ?? noCounts();
      addCounts(settled3, first.counts);
      const next = first.cursor === null ? this.#move.kinds[this.#move.kinds.indexOf(kind) + 1] : kind;
      this.#place = {
        at: next === void 0 ? null : { kind: next, cursor: first.cursor },
        counts: { ...this.#place.counts, [kind]: settled3 }
      };
      hasMoved = true;
    }
    return hasMoved;
  }
  progress(isDone = false) {
    const { kind, count, approximate, began, before } = this.#kind;
    const counts = this.of(kind);
    const done = lookedAt(counts);
    const total = isDone ? done : Math.max(count, done);
    const seconds = (performance.now() - began) / 1e3;
    const recordsPerSecond = seconds > 0 ? (done - before) / seconds : 0;
    return {
      kind,
      total,
      approximate: approximate && !isDone,
      ...counts,
      elapsedMs: this.elapsedMs,
      percentComplete: total === 0 || isDone ? 100 : Math.min(100, done / total * 100),
      recordsPerSecond,
      etaMs: isDone ? 0 : recordsPerSecond > 0 ? (total - done) / recordsPerSecond * 1e3 : null,
      checkpoint: this.checkpoint
    };
  }
};

// ts/moving/mover.ts
var PAGE_BYTES = 8 * 1024 * 1024;
var MAX_REJECTED2 = 100;
var RETRIES = 8;
var FIRST_PAUSE_MS2 = 100;
var LONGEST_PAUSE_MS = 1e4;
var Rejection = class extends Error {
};
var Mover = class {
  #source;
  #sink;
  #terms;
  #tally;
  #rejected = [];
  #tell;
  constructor(source, sink, terms, place, tell) {
    this.#source = source;
    this.#sink = sink;
    this.#terms = terms;
    this.#tell = tell;
    const move = { source: source.where, target: sink.where, kinds: terms.kinds };
    this.#tally = new Tally(move, place, terms.dryRun);
  }
  /** Moves everything. Rejects with `TRANSFER` if something could not be moved. */
  async run() {
    const { dryRun, kinds } = this.#terms;
    try {
      await this.#source.open();
      if (!dryRun) await this.#sink.open(kinds, this.#source.where);
    } catch (error) {
      await this.#close(false);
      throw error;
    }
    try {
      for (const { kind, after } of this.#tally.left()) await this.#moveKind(kind, after);
      await this.#source.close(true);
      if (!dryRun) await this.#sink.close(true);
    } catch (error) {
      await this.#close(false);
      throw this.failure(error);
    }
    const { failed: failed2 } = sumOf(this.#tally.counts);
    if (failed2 > 0) throw this.failure(new Rejection());
    return this.result();
  }
  result() {
    const { counts, elapsedMs, checkpoint } = this.#tally;
    return { ...sumOf(counts), counts, elapsedMs, checkpoint, dryRun: this.#terms.dryRun };
  }
  /** `TRANSFER`, with all that is known. */
  failure(cause, message = this.#why(cause)) {
    const { operation, resumes } = this.#terms;
    const error = errorOf("TRANSFER", message, {
      operation,
      retryable: isRetryable(cause),
      cause: cause instanceof Rejection ? void 0 : cause
    });
    const { counts, checkpoint } = this.#tally;
    return Object.assign(error, { counts, rejected: this.#rejected, ...resumes && { checkpoint } });
  }
  #why(cause) {
    const { failed: failed2, ...rest } = sumOf(this.#tally.counts);
    const moved = `${rest.transferred} transferred, ${failed2} failed, ${rest.skipped} skipped, ${rest.expired} expired`;
    if (!(cause instanceof Rejection)) {
      const isStopped = this.#terms.signal?.aborted === true;
      const why = cause instanceof Error ? cause.message : String(cause);
      return isStopped ? `stopped: ${moved}` : `ended by an error: ${why} (${moved})`;
    }
    const [first] = this.#rejected;
    const which = first === void 0 ? "" : `; the first: ${first.kind} '${first.id.slice(0, 80)}': ${first.message}`;
    return `${failed2} records could not be moved${which} (${moved})`;
  }
  async #close(isWhole) {
    await this.#source.close(isWhole).catch(() => void 0);
    if (!this.#terms.dryRun) await this.#sink.close(isWhole).catch(() => void 0);
  }
  async #moveKind(kind, from) {
    const { pace, batchSize, dryRun, signal } = this.#terms;
    const most = Math.min(this.#terms.concurrency, this.#sink.concurrency, kind === "outbox" ? 1 : Number.POSITIVE_INFINITY);
    checkSignal(signal);
    this.#tally.begin(kind, await this.#patiently(() => this.#source.count(kind)));
    this.#tell(this.#tally.progress());
    const running = /* @__PURE__ */ new Set();
    let failure;
    try {
      for (let after = from; failure === void 0; ) {
        checkSignal(signal);
        const page = await this.#patiently(() => {
          const terms = [kind, after, pace.limit(batchSize), pace.maxBytes(PAGE_BYTES)];
          return dryRun ? this.#source.look(...terms) : this.#source.page(...terms);
        });
        while (running.size >= most) await Promise.race(running);
        if (failure !== void 0) break;
        await pace.take(
          page.records.length,
          page.records.reduce((sum, record) => sum + bytesOf2(kind, record), 0)
        );
        checkSignal(signal);
        const batch = { cursor: page.cursor };
        this.#tally.send(batch);
        const writing = this.#write(kind, page, batch).catch((error) => {
          failure ??= { error };
        }).finally(() => running.delete(writing));
        running.add(writing);
        if (page.cursor === null) break;
        after = page.cursor;
      }
    } finally {
      await Promise.all(running);
    }
    if (failure !== void 0) throw failure.error;
    this.#tell(this.#tally.progress(true));
  }
  async #write(kind, page, batch) {
    const counts = noCounts();
    const rejected = page.unreadable.map((entry) => unreadableOf(kind, entry));
    const fates = this.#terms.dryRun ? this.#looked(page.records) : await this.#put(kind, page.records);
    fates.forEach((fate, index) => {
      const record = page.records[index];
      if (fate === "stored") {
        counts.transferred += 1;
        counts.bytes += bytesOf2(kind, record);
      } else if (fate === "skipped") counts.skipped += 1;
      else if (fate === "expired") counts.expired += 1;
      else rejected.push({ ...subjectOf(kind, record), code: fate.code, message: fate.message });
    });
    counts.failed = rejected.length;
    addCounts(this.#tally.of(kind), counts);
    await this.#reject(rejected);
    if (rejected.length > 0 && this.#terms.onError !== "skip") throw new Rejection();
    if (this.#tally.settle(kind, batch, counts)) this.#tell(this.#tally.progress());
  }
  async #reject(rejected) {
    this.#rejected.push(...rejected.slice(0, MAX_REJECTED2 - this.#rejected.length));
    for (const one2 of rejected) await this.#terms.onRejected?.(one2);
  }
  /** What a dry run knows of the fates. */
  #looked(records) {
    const now = Date.now();
    return records.map((record) => {
      if (isOver(record, now)) return "expired";
      if (!("bytes" in record || "data" in record)) return "stored";
      const size = "bytes" in record ? record.bytes : record.data.byteLength;
      const limit = this.#sink.maxPayloadBytes(record.id);
      if (size <= limit) return "stored";
      return { code: "PAYLOAD_TOO_LARGE", message: `the payload has ${size} bytes; the limit is ${limit}`, retryable: false };
    });
  }
  async #put(kind, records) {
    if (records.length === 0) return [];
    const { onConflict, onError, signal } = this.#terms;
    const put = (some) => onConflict === "fail" ? this.#sink.put(kind, some, onConflict) : this.#patiently(() => this.#sink.put(kind, some, onConflict));
    const fates = await put(records);
    if (onError !== "retry") return fates;
    for (let attempt = 0; attempt < RETRIES; attempt += 1) {
      const again = fates.flatMap((fate, index) => typeof fate === "object" && fate.retryable ? [index] : []);
      if (again.length === 0) break;
      await pause(pauseBefore(attempt), signal);
      const others = await put(again.map((index) => records[index]));
      again.forEach((index, place) => {
        fates[index] = others[place];
      });
    }
    return fates;
  }
  /** With `retry`, what fails and may pass by itself is tried again. */
  async #patiently(work) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        const { onError, signal } = this.#terms;
        if (onError !== "retry" || attempt >= RETRIES || !isRetryable(error)) throw error;
        await pause(pauseBefore(attempt), signal);
      }
    }
  }
};
function pauseBefore(attempt) {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS2 * 2 ** attempt) * (0.5 + Math.random() / 2);
}
function startOf(kinds) {
  const counts = {};
  return { at: { kind: kinds[0], cursor: null }, counts };
}

// ts/moving/pace.ts
var Pace = class {
  /** None: as fast as it goes. */
  recordsPerSecond;
  bytesPerSecond;
  #signal;
  /** When the next batch may be written. */
  #due = 0;
  constructor({ recordsPerSecond, bytesPerSecond, signal }, operation) {
    for (const [name, value] of Object.entries({ recordsPerSecond, bytesPerSecond })) {
      if (value === void 0 || typeof value === "number" && value > 0 && value < Number.POSITIVE_INFINITY) continue;
      throw invalidArgument(`option '${name}' must be a number above 0`, operation);
    }
    this.recordsPerSecond = recordsPerSecond;
    this.bytesPerSecond = bytesPerSecond;
    this.#signal = signal;
  }
  /** Records of a batch: not more than those of a second, so that the pace is even. */
  limit(batchSize) {
    return Math.min(batchSize, Math.max(1, Math.floor(this.recordsPerSecond ?? batchSize)));
  }
  /** The same for its bytes. */
  maxBytes(most) {
    return Math.min(most, Math.max(1, Math.floor(this.bytesPerSecond ?? most)));
  }
  /** Waits until a batch may be written. */
  async take(records, bytes) {
    const { recordsPerSecond = Number.POSITIVE_INFINITY, bytesPerSecond = Number.POSITIVE_INFINITY } = this;
    const now = performance.now();
    const wait = this.#due - now;
    this.#due = Math.max(this.#due, now) + Math.max(records / recordsPerSecond, bytes / bytesPerSecond) * 1e3;
    if (wait > 0) await pause(wait, this.#signal);
  }
};

// ts/moving/validation.ts
async function issuesBetween(source, target, terms) {
  const issues = [];
  const counts = /* @__PURE__ */ new Map();
  const unreachable = /* @__PURE__ */ new Set();
  for (const kind of terms.kinds) {
    for (const [side, store] of [
      ["source", source],
      ["target", target]
    ]) {
      if (unreachable.has(store)) continue;
      try {
        counts.set(`${side} ${kind}`, (await recordsOf(store)?.count(kind) ?? { count: 0 }).count);
      } catch (error) {
        const code = error instanceof SagaStoreError ? error.code : "BACKEND";
        if (code === "CONNECTION" || code === "TIMEOUT") unreachable.add(store);
        issues.push({ level: "error", kind, code, message: `the ${side} cannot be counted: ${error.message}` });
      }
    }
  }
  issues.push(...conflicting(terms, counts));
  if (terms.kinds.includes("payloads")) issues.push(...limited(source, target));
  if (!target.capabilities.durable && source.capabilities.durable) {
    issues.push({ level: "warning", code: "UNSUPPORTED", message: "the target keeps its records in memory: they end with the process" });
  }
  return issues;
}
function conflicting({ kinds, onConflict }, counts) {
  const filled = (kind) => (counts.get(`source ${kind}`) ?? 0) > 0 && (counts.get(`target ${kind}`) ?? 0) > 0;
  return kinds.filter(filled).map((kind) => {
    const count = counts.get(`target ${kind}`);
    const what = {
      "skip-existing": "stay as they are",
      overwrite: "are replaced",
      fail: "make the move fail",
      newer: "stay if they are newer"
    };
    const message = `the target has ${count} records already: those whose ids are taken ${what[onConflict]}`;
    return { level: "warning", kind, code: "ALREADY_EXISTS", message };
  });
}
function limited(source, target) {
  const limits = [source, target].map((store) => factsOf(store)?.maxPayloadBytes("i") ?? Number.POSITIVE_INFINITY);
  const [from, to] = limits;
  if (to >= from) return [];
  const message = `the target takes payloads of at most ${to} bytes, the source of ${from}: a dry run names those that are larger`;
  return [{ level: "warning", kind: "payloads", code: "PAYLOAD_TOO_LARGE", message }];
}

// ts/moving/verify.ts
var import_node_crypto7 = require("node:crypto");

// ts/moving/compare.ts
var import_types7 = require("node:util/types");
var CONTENT = {
  payloads: /* @__PURE__ */ new Set(["data"]),
  states: /* @__PURE__ */ new Set(["state"]),
  executions: /* @__PURE__ */ new Set(["context", "metadata", "entries"]),
  outbox: /* @__PURE__ */ new Set(["payload", "headers"]),
  inbox: /* @__PURE__ */ new Set()
};
var JSON_TEXT = /* @__PURE__ */ new Set(["state", "context", "metadata", "payload", "headers"]);
function differenceOf(kind, one2, other2) {
  const [a, b] = [one2, other2];
  const names = [.../* @__PURE__ */ new Set([...Object.keys(a), ...Object.keys(b)])];
  const differing = names.filter((name) => !isSame(name, a[name], b[name]));
  if (differing.length === 0) return void 0;
  if (differing.some((name) => CONTENT[kind].has(name))) return "bytes";
  return differing.includes("expiresAt") ? "expiry" : "version";
}
function isSame(name, one2, other2) {
  if (one2 === other2) return true;
  if ((0, import_types7.isUint8Array)(one2)) return (0, import_types7.isUint8Array)(other2) && Buffer.compare(one2, other2) === 0;
  if (typeof one2 === "string" && typeof other2 === "string") return JSON_TEXT.has(name) && isSameJson(one2, other2);
  if (name === "entries" && Array.isArray(one2) && Array.isArray(other2)) {
    return one2.length === other2.length && one2.every((entry, index) => isSameEntry(entry, other2[index]));
  }
  return isEqual(one2, other2);
}
function isSameEntry(one2, other2) {
  if (!Array.isArray(one2) || !Array.isArray(other2) || one2.length !== other2.length) return false;
  return one2.every((field, index) => {
    if (index === 6 && typeof field === "string" && typeof other2[index] === "string") {
      return field === other2[index] || isSameJson(field, other2[index]);
    }
    return isEqual(field, other2[index]);
  });
}
function isSameJson(one2, other2) {
  try {
    return isEqual(JSON.parse(one2), JSON.parse(other2));
  } catch {
    return false;
  }
}
function isEqual(one2, other2) {
  if (one2 === other2) return true;
  if ((0, import_types7.isDate)(one2)) return (0, import_types7.isDate)(other2) && one2.getTime() === other2.getTime();
  if (typeof one2 !== "object" || typeof other2 !== "object" || one2 === null || other2 === null) return false;
  if (Array.isArray(one2) !== Array.isArray(other2)) return false;
  const names = Object.keys(one2);
  if (names.length !== Object.keys(other2).length) return false;
  return names.every((name) => {
    const [a, b] = [one2, other2];
    return Object.hasOwn(b, name) && isEqual(a[name], b[name]);
  });
}

// ts/moving/verify.ts
var VERIFY = { kinds: true, sample: true, signal: true };
var FETCHED = 100;
var MAX_IDS = 1e3;
async function verify(source, target, options) {
  const operation = "verify";
  const [from, to] = [checkedRecords(source, "the source", operation), checkedRecords(target, "the target", operation)];
  const { kinds, sample = 1, signal } = optionsOf(options, VERIFY, operation);
  if (!(typeof sample === "number" && sample > 0 && sample <= 1)) {
    throw invalidArgument("option 'sample' must be a number above 0, and at most 1", operation);
  }
  const verifier = new Verifier(from, to, sample, signalOf(signal, operation));
  for (const kind of kindsOf(kinds, operation)) await verifier.compare(kind);
  return verifier.found();
}
var UNREADABLE = "unreadable";
var Verifier = class {
  #source;
  #target;
  #sample;
  #signal;
  #counts = { same: 0, missing: 0, extra: 0, bytes: 0, expiry: 0, version: 0, unreadable: 0 };
  #ids = [];
  constructor(source, target, sample, signal) {
    this.#source = source;
    this.#target = target;
    this.#sample = sample;
    this.#signal = signal;
  }
  found() {
    const { same, missing, extra, unreadable, ...different } = this.#counts;
    const wrong = missing + extra + unreadable + different.bytes + different.expiry + different.version;
    return { equal: wrong === 0, same, missing, extra, different, unreadable, ids: this.#ids };
  }
  async compare(kind) {
    const isWhole = this.#sample === 1;
    for await (const { records, unreadable } of this.#pages(this.#source, kind, !isWhole)) {
      for (const [key] of unreadable) this.#note(kind, key, "unreadable");
      for (const group of this.#groups(kind, records)) await this.#compareSome(kind, group, isWhole);
    }
    for await (const { records, unreadable } of this.#pages(this.#target, kind, true)) {
      for (const [key] of unreadable) this.#note(kind, key, "unreadable");
      for (const group of this.#groups(kind, records)) await this.#lookForExtra(kind, group);
    }
  }
  async #compareSome(kind, chosen, isWhole) {
    const keys = chosen.map((record) => keyOf(kind, record));
    const [here2, there] = await Promise.all([
      isWhole ? chosen : this.#fetch(this.#source, kind, keys),
      this.#fetch(this.#target, kind, keys)
    ]);
    chosen.forEach((record, index) => {
      const [one2, other2] = [here2[index], there[index]];
      if (one2 == null) return;
      const { id, name } = subjectOf(kind, record);
      const what = one2 === UNREADABLE || other2 === UNREADABLE ? "unreadable" : other2 == null ? "missing" : differenceOf(kind, one2, other2);
      if (what === void 0) this.#counts.same += 1;
      else this.#note(kind, id, what, name);
    });
  }
  async #lookForExtra(kind, chosen) {
    const keys = chosen.map((record) => keyOf(kind, record));
    const there = await this.#fetch(this.#source, kind, keys);
    chosen.forEach((record, index) => {
      const { id, name } = subjectOf(kind, record);
      if (there[index] == null) this.#note(kind, id, "extra", name);
    });
  }
  /** Pages of a side. `isLight`: payloads without their bytes. */
  #pages(side, kind, isLight) {
    const check = () => checkSignal(this.#signal);
    const pages = isLight && kind === "payloads" ? side.pagesOfSizes(check) : side.pages(kind, check);
    return pages;
  }
  /** The records that are to be compared, in groups that fit into memory. */
  *#groups(kind, records) {
    const now = Date.now();
    let group = [];
    let bytes = 0;
    for (const record of records) {
      if (isOver(record, now) || !this.#isChosen(kind, record)) continue;
      group.push(record);
      bytes += bytesOf2(kind, record);
      if (group.length < FETCHED && bytes < PAGE.maxBytes) continue;
      yield group;
      group = [];
      bytes = 0;
    }
    if (group.length > 0) yield group;
  }
  /** The records of these keys; null where there is none. */
  async #fetch(side, kind, keys) {
    checkSignal(this.#signal);
    try {
      return await side.fetch(kind, keys);
    } catch (error) {
      if (!(error instanceof SagaStoreError && error.code === "CORRUPT_DATA")) throw error;
      if (keys.length === 1) return [UNREADABLE];
    }
    const found = [];
    for (const key of keys) found.push(...await this.#fetch(side, kind, [key]));
    return found;
  }
  /** Both sides choose the same records. */
  #isChosen(kind, record) {
    if (this.#sample === 1) return true;
    const key = String(keyOf(kind, record));
    return (0, import_node_crypto7.createHash)("sha256").update(key).digest().readUInt32BE(0) < this.#sample * 2 ** 32;
  }
  #note(kind, id, what, name) {
    this.#counts[what] += 1;
    if (this.#ids.length < MAX_IDS) this.#ids.push({ kind, id, ...name !== void 0 && { name }, what });
  }
};

// ts/moving/transfer.ts
var TRANSFER = {
  kinds: true,
  batchSize: true,
  concurrency: true,
  onError: true,
  onConflict: true,
  onRejected: true,
  resumeFrom: true,
  verify: true,
  dryRun: true,
  recordsPerSecond: true,
  bytesPerSecond: true,
  signal: true
};
var MAX_CONCURRENCY2 = 32;
var Transfer = class {
  #moving;
  #running;
  #latest;
  /** How often there was something new, and who waits for it. */
  #news = 0;
  #waiting = [];
  #isOver = false;
  /** @internal */
  constructor(moving) {
    this.#moving = moving;
  }
  /** What is in the way, found out without writing anything. */
  async validate() {
    const { foreign } = this.#moving;
    const issues = await this.#moving.issues();
    if (foreign !== void 0) issues.unshift({ level: "error", code: "TRANSFER", message: foreign.message });
    return { compatible: issues.every(({ level }) => level !== "error"), issues };
  }
  /**
   * How far it is, after each batch that the target has acknowledged. Whoever is slow is told the latest only. It throws
   * what the move has failed with.
   */
  async *[Symbol.asyncIterator]() {
    const running = this.#run();
    for (let seen = 0; ; ) {
      if (this.#latest !== void 0 && this.#news > seen) {
        seen = this.#news;
        yield this.#latest;
      } else if (this.#isOver) {
        await running;
        return;
      } else {
        await new Promise((resolve) => this.#waiting.push(resolve));
      }
    }
  }
  // biome-ignore lint/suspicious/noThenProperty: it is awaited, as the documents say
  then(onFulfilled, onRejected) {
    return this.#run().then(onFulfilled, onRejected);
  }
  /** As that of a promise. */
  catch(onRejected) {
    return this.#run().catch(onRejected);
  }
  /** As that of a promise. */
  finally(onFinally) {
    return this.#run().finally(onFinally);
  }
  #run() {
    if (this.#running === void 0) {
      this.#running = this.#move().finally(() => {
        this.#isOver = true;
        this.#wake();
      });
      this.#running.catch(() => void 0);
    }
    return this.#running;
  }
  async #move() {
    const { source, sink, terms, place, foreign, verify: compare } = this.#moving;
    if (foreign !== void 0) throw foreign;
    const mover = new Mover(source, sink, terms, place, (progress) => {
      this.#latest = progress;
      this.#news += 1;
      this.#wake();
    });
    const result = await mover.run();
    if (compare === void 0 || terms.dryRun) return result;
    let verification;
    try {
      verification = await compare();
    } catch (error2) {
      throw mover.failure(error2);
    }
    const { missing, different, unreadable } = verification;
    const wrong = missing + different.bytes + different.expiry + different.version + unreadable;
    if (wrong === 0) return { ...result, verification };
    const [first] = verification.ids.filter(({ what }) => what !== "extra");
    const which = first === void 0 ? "" : `; the first: ${first.kind} '${first.id.slice(0, 80)}': ${first.what}`;
    const error = mover.failure(void 0, `after the move ${wrong} records are missing or different in the target${which}`);
    throw Object.assign(error, { verification });
  }
  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
};
function transfer(source, target, options) {
  const operation = "transfer";
  const [from, to] = [checkedRecords(source, "the source", operation), checkedRecords(target, "the target", operation)];
  const facts = { source: factsOf(source), target: factsOf(target) };
  const taken2 = optionsOf(options, TRANSFER, operation);
  const kinds = kindsOf(taken2.kinds, operation);
  const terms = termsOf2({ ...taken2, kinds }, operation);
  const isSame2 = source === target || facts.source.isShared && facts.source.where === facts.target.where;
  if (isSame2) throw invalidArgument("the source and the target are the same store", operation);
  const move = { source: facts.source.where, target: facts.target.where, kinds };
  let place = startOf(kinds);
  let foreign;
  if (taken2.resumeFrom !== void 0) {
    const checkpoint = readCheckpoint(taken2.resumeFrom, operation);
    foreign = foreignCheckpoint(checkpoint, move);
    place = { at: checkpoint.at, counts: checkpoint.counts };
  }
  const verifies = flagOf(taken2.verify, "verify", operation);
  const { signal } = terms;
  return new Transfer({
    source: new StoreSource(from, facts.source),
    sink: new StoreSink(to, facts.target),
    terms,
    place,
    foreign,
    issues: () => issuesBetween(source, target, terms),
    verify: verifies ? () => verify(source, target, { kinds, ...signal && { signal } }) : void 0
  });
}
function termsOf2(options, operation) {
  const signal = signalOf(options.signal, operation);
  const dryRun = flagOf(options.dryRun, "dryRun", operation);
  const onError = wordOf(options.onError, "onError", ON_ERROR, operation);
  return {
    operation,
    kinds: options.kinds,
    batchSize: wholeOf(options.batchSize, "batchSize", MAX_BATCH4, 500, operation),
    concurrency: wholeOf(options.concurrency, "concurrency", MAX_CONCURRENCY2, 4, operation),
    onError: dryRun ? "skip" : onError,
    onConflict: wordOf(options.onConflict, "onConflict", ON_CONFLICT, operation),
    onRejected: functionOf(options.onRejected, "onRejected", operation),
    dryRun,
    pace: new Pace({ ...options, ...signal && { signal } }, operation),
    signal,
    resumes: true
  };
}

// ts/moving/files.ts
var PACE = { recordsPerSecond: true, bytesPerSecond: true, signal: true };
var EXPORT2 = {
  ...PACE,
  kinds: true,
  batchSize: true,
  onError: true,
  onRejected: true,
  compress: true,
  level: true,
  overwrite: true
};
var IMPORT2 = {
  ...PACE,
  kinds: true,
  batchSize: true,
  concurrency: true,
  onError: true,
  onConflict: true,
  onRejected: true,
  dryRun: true,
  allowPartial: true
};
var LEVEL = 3;
var MAX_LEVEL = 19;
function exportToFile(store, to, options) {
  const operation = "exportToFile";
  const records = checkedRecords(store, "the source", operation);
  if (!(to instanceof import_node_stream.Writable)) checkName(to, operation);
  const { compress, level = LEVEL, overwrite, ...rest } = optionsOf(options, EXPORT2, operation);
  if (!(Number.isSafeInteger(level) && level >= 1 && level <= MAX_LEVEL)) {
    throw invalidArgument(`option 'level' must be a whole number from 1 to ${MAX_LEVEL}`, operation);
  }
  const isNamed = typeof to === "string" && to.endsWith(".zst");
  const isCompressed = compress === void 0 ? isNamed : flagOf(compress, "compress", operation);
  const kinds = kindsOf(rest.kinds, operation);
  const terms = { ...termsOf2({ ...rest, kinds }, operation), resumes: false };
  return new Transfer({
    source: new StoreSource(records, factsOf(store)),
    sink: new FileSink(to, { level: isCompressed ? level : void 0, overwrite: flagOf(overwrite, "overwrite", operation) }),
    terms,
    place: startOf(kinds),
    issues: async () => []
  });
}
function importFromFile(from, store, options) {
  const operation = "importFromFile";
  const records = checkedRecords(store, "the target", operation);
  if (!(from instanceof import_node_stream.Readable)) checkName(from, operation);
  const { allowPartial, ...rest } = optionsOf(options, IMPORT2, operation);
  const kinds = kindsOf(rest.kinds, operation);
  const terms = { ...termsOf2({ ...rest, kinds }, operation), resumes: false };
  return new Transfer({
    source: new FileSource(from, kinds, flagOf(allowPartial, "allowPartial", operation)),
    sink: new StoreSink(records, factsOf(store)),
    terms,
    place: startOf(kinds),
    issues: async () => []
  });
}
function checkName(name, operation) {
  if (typeof name === "string" && name !== "" && !name.includes("\0")) return;
  throw invalidArgument("the file must be a name or a stream", operation);
}

// ts/moving/migrating.ts
var import_types8 = require("node:util/types");

// ts/moving/tombstones.ts
var import_node_crypto8 = require("node:crypto");
var TOMBSTONE = (0, import_node_crypto8.createHash)("sha256").update("sagastore: this payload was deleted while it was moved").digest();
function isTombstone(data) {
  return data !== null && data.byteLength === TOMBSTONE.byteLength && TOMBSTONE.equals(data);
}
var MARK = "sagastore:deleted";
var FIRST_VERSION = 2 ** 52;
function isTombstoneVersion(version) {
  return typeof version === "number" && version >= FIRST_VERSION;
}
function stateTombstone(sagaName, sagaId, version = FIRST_VERSION) {
  const now = /* @__PURE__ */ new Date();
  const metadata = { version, sagaId, isCompleted: true, createdAt: now, updatedAt: now };
  return {
    sagaName,
    sagaId,
    correlationId: `${MARK}:${(0, import_node_crypto8.createHash)("sha256").update(sagaId).digest("hex")}`,
    version,
    isCompleted: true,
    createdAt: now,
    updatedAt: now,
    completedAt: now,
    state: JSON.stringify({ metadata, [MARK]: true })
  };
}
function isStateTombstone(state) {
  return state != null && state[MARK] === true;
}
function isTombstoneRecord({ version, state }) {
  return version >= FIRST_VERSION && isStateTombstone(JSON.parse(state));
}

// ts/moving/migrating-states.ts
var CLAIM_MS = 6e4;
var LOOKS = 5;
var MigratingStates = class {
  #old;
  #new;
  #json;
  /** @internal */
  constructor(oldSide, newSide) {
    this.#old = oldSide;
    this.#new = newSide;
    this.#json = new StateJson(newSide.records.backend);
  }
  /** The state, or null. */
  async getById(sagaName, sagaId) {
    const found = await this.#new.states.getById(sagaName, sagaId);
    if (found !== null) return isStateTombstone(found) ? null : found;
    const old = await this.#old.states.getById(sagaName, sagaId);
    if (old === null) return null;
    const again = await this.#new.states.getById(sagaName, sagaId);
    return again === null ? old : isStateTombstone(again) ? null : again;
  }
  /** The state, or null. */
  async getByCorrelationId(sagaName, correlationId) {
    const found = await this.#new.states.getByCorrelationId(sagaName, correlationId);
    if (found !== null) return isStateTombstone(found) ? null : found;
    const old = await this.#old.states.getByCorrelationId(sagaName, correlationId);
    if (old === null) return null;
    const again = await this.#new.states.getById(sagaName, old.metadata.sagaId);
    return again === null ? old : isStateTombstone(again) ? null : again;
  }
  /** `getById`, as in `SagaStates`. */
  findById(sagaName, sagaId) {
    return this.getById(sagaName, sagaId);
  }
  /** `getByCorrelationId`, as in `SagaStates`. */
  findByCorrelationId(sagaName, correlationId) {
    return this.getByCorrelationId(sagaName, correlationId);
  }
  /**
   * Stores a new saga in the new store.
   *
   * @throws AlreadyExistsError if one of its ids is taken in either store
   */
  async insert(sagaName, correlationId, state) {
    const sagaId = metadataOf(state)?.sagaId;
    if (typeof sagaId !== "string") return await this.#new.states.insert(sagaName, correlationId, state);
    const [here2, byId, byCorrelation] = await Promise.all([
      this.#new.states.getById(sagaName, sagaId),
      this.#old.states.getById(sagaName, sagaId),
      this.#old.states.getByCorrelationId(sagaName, correlationId)
    ]);
    const isDeleted = isStateTombstone(here2);
    if (byId !== null && !isDeleted) throw this.#taken(sagaName, sagaId, "sagaId", sagaId);
    const other2 = byCorrelation?.metadata.sagaId;
    if (other2 !== void 0 && other2 !== sagaId && !await this.#isMovedOrDeleted(sagaName, other2)) {
      throw this.#taken(sagaName, sagaId, "correlationId", correlationId);
    }
    if (here2 !== null && isDeleted) await this.#replaceTombstone(sagaName, correlationId, state, here2);
    else await this.#new.states.insert(sagaName, correlationId, state);
  }
  /**
   * Replaces the state in the new store, if its version is the expected one. A saga that only the old store has is moved
   * first.
   *
   * @throws ConcurrencyError, NotFoundError
   */
  async update(sagaName, state, expectedVersion) {
    const sagaId = metadataOf(state)?.sagaId;
    if (isTombstoneVersion(expectedVersion)) throw this.#gone(sagaName, sagaId);
    await this.#here(sagaName, sagaId, () => this.#new.states.update(sagaName, state, expectedVersion));
  }
  /** As in `SagaStates`, in the new store. A saga that only the old store has is moved first. */
  async modify(sagaName, sagaId, change, options) {
    const changed = (state) => {
      if (isStateTombstone(state)) throw this.#gone(sagaName, sagaId);
      return change(state);
    };
    return await this.#here(sagaName, sagaId, () => this.#new.states.modify(sagaName, sagaId, changed, options));
  }
  /** As in `SagaStates`: inserts a state that has no version, and updates the saga of one that has. */
  async save(sagaName, state) {
    const { id, correlationId } = state ?? {};
    const metadata = metadataOf(state);
    const sagaId = metadata?.sagaId ?? id;
    if (isTombstoneVersion(metadata?.version)) throw this.#gone(sagaName, sagaId);
    if (metadata?.version != null) return await this.#here(sagaName, sagaId, () => this.#new.states.save(sagaName, state));
    await this.insert(sagaName, correlationId ?? metadata?.correlationId ?? sagaId, {
      ...state,
      metadata: { ...metadata, sagaId }
    });
    const stored2 = await this.getById(sagaName, sagaId);
    if (stored2 === null) throw this.#gone(sagaName, sagaId);
    return stored2;
  }
  /** Removes the saga, if there is one. One that the old store has leaves a tombstone in the new store. */
  async delete(sagaName, sagaId) {
    const [old] = await this.#old.records.fetch("states", [[sagaName, sagaId]]);
    if (old == null || isOver(old, Date.now())) {
      const here2 = await this.#new.states.getById(sagaName, sagaId);
      if (!isStateTombstone(here2)) await this.#new.states.delete(sagaName, sagaId);
      return;
    }
    const [fate] = await this.#new.records.importRecords("states", [stateTombstone(sagaName, sagaId)], "overwrite");
    if (typeof fate === "object") throw this.#refused(fate, sagaId, "delete");
  }
  /** Removes the saga, if there is one. */
  async deleteByCorrelationId(sagaName, correlationId) {
    const found = await this.getByCorrelationId(sagaName, correlationId);
    if (found !== null) await this.delete(sagaName, found.metadata.sagaId);
  }
  /** Runs a change in the new store; where that has no such saga, it is moved there first. */
  async #here(sagaName, sagaId, change) {
    for (let look = 0; ; look += 1) {
      try {
        return await change();
      } catch (error) {
        if (!(error instanceof SagaStoreError)) throw error;
        if (error.code === "CONCURRENCY_CONFLICT" && isStateTombstone(await this.#new.states.getById(sagaName, sagaId))) {
          throw this.#gone(sagaName, sagaId);
        }
        if (error.code !== "NOT_FOUND" || look >= LOOKS || !await this.#bring(sagaName, sagaId)) throw error;
      }
    }
  }
  /** Moves a saga, if the new store has none of its saga id. Whether the old store has one. */
  async #bring(sagaName, sagaId) {
    const [record] = await this.#old.records.fetch("states", [[sagaName, sagaId]]);
    if (record == null || isOver(record, Date.now())) return false;
    const [fate] = await this.#new.records.importRecords("states", [record], "skip-existing");
    if (typeof fate === "object") throw this.#refused(fate, sagaId, "update");
    return fate !== "expired";
  }
  /** A saga takes the place of one that was deleted: of several that want to, one does. */
  async #replaceTombstone(sagaName, correlationId, state, tombstone) {
    const { sagaId, version } = tombstone.metadata;
    const { claimedAt = 0 } = tombstone;
    if (Date.now() - claimedAt < CLAIM_MS) throw this.#taken(sagaName, sagaId, "sagaId", sagaId);
    const holder = await this.#new.states.getByCorrelationId(sagaName, correlationId);
    if (holder !== null) throw this.#taken(sagaName, sagaId, "correlationId", correlationId);
    const record = this.#record(sagaName, correlationId, state);
    try {
      await this.#new.states.update(sagaName, { ...tombstone, claimedAt: Date.now() }, version);
    } catch (error) {
      const isTaken = error instanceof SagaStoreError && (error.code === "CONCURRENCY_CONFLICT" || error.code === "NOT_FOUND");
      throw isTaken ? this.#taken(sagaName, sagaId, "sagaId", sagaId) : error;
    }
    const [fate] = await this.#new.records.importRecords("states", [record], "overwrite");
    if (typeof fate === "object") throw this.#refused(fate, sagaId, "insert");
  }
  /** The record that an insertion stores. */
  #record(sagaName, correlationId, state) {
    const metadata = metadataOf(state);
    const version = metadata?.version ?? 1;
    const { stored: stored2 } = this.#json.record(sagaName, state, metadata, { operation: "states.insert", version, isChange: false });
    const known4 = metadataOf(stored2);
    return {
      sagaName,
      sagaId: known4.sagaId,
      correlationId,
      version,
      isCompleted: known4.isCompleted,
      createdAt: known4.createdAt,
      updatedAt: known4.updatedAt,
      ...known4.isCompleted && { completedAt: known4.updatedAt },
      ...known4.timeoutExpiresAt != null && { timeoutAt: known4.timeoutExpiresAt },
      state: JSON.stringify(stored2)
    };
  }
  async #isMovedOrDeleted(sagaName, sagaId) {
    return await this.#new.states.getById(sagaName, sagaId) !== null;
  }
  #taken(sagaName, id, what, value) {
    const message = `a saga of this name with this ${what === "sagaId" ? "saga id" : "correlation id"} already exists`;
    return errorOf("ALREADY_EXISTS", message, { operation: "migrating.states.insert", id, details: { sagaName, [what]: value } });
  }
  #gone(sagaName, sagaId) {
    const message = `not found: no saga '${sagaName}' has this saga id`;
    return errorOf("NOT_FOUND", message, { operation: "migrating.states", id: sagaId, details: { sagaName, sagaId } });
  }
  #refused({ code, message, retryable }, id, method) {
    return errorOf(code, message, { operation: `migrating.states.${method}`, id, retryable });
  }
};

// ts/moving/migrating.ts
var MigratingStore = class {
  #old;
  #new;
  #oldRecords;
  #newRecords;
  #states;
  /** @internal */
  constructor(oldStore, newStore) {
    this.#old = oldStore;
    this.#new = newStore;
    this.#oldRecords = checkedRecords(oldStore, "the old store", "migrating");
    this.#newRecords = checkedRecords(newStore, "the new store", "migrating");
    const [one2, other2] = [factsOf(oldStore), factsOf(newStore)];
    if (oldStore === newStore || one2?.isShared === true && one2.where === other2?.where) {
      throw invalidArgument("the old and the new store are the same", "migrating");
    }
    this.#states = new MigratingStates(
      { states: oldStore.states, records: this.#oldRecords },
      { states: newStore.states, records: this.#newRecords }
    );
  }
  /** The state of sagas, under the same rules. */
  get states() {
    return this.#states;
  }
  /** Initializes the new store. */
  async initialize() {
    await this.#new.initialize();
  }
  /** Removes from the new store what has expired. */
  async cleanup() {
    await this.#new.cleanup();
  }
  /** Stores a payload in the new store. */
  async put(id, data, expiresAt, options) {
    if ((0, import_types8.isUint8Array)(data) && isTombstone(data)) {
      throw errorOf("INVALID_ARGUMENT", "these bytes stand for a payload that was deleted", { operation: "migrating.put", id });
    }
    await this.#new.put(id, data, expiresAt, options);
    await this.#outlive(id, expiresAt);
  }
  /**
   * The payload.
   *
   * @throws NotFoundError if neither store has it, or if it was deleted
   */
  async get(id) {
    const found = await this.find(id);
    if (found !== null) return found;
    throw errorOf("NOT_FOUND", "not found: no payload has this id, or it has expired", { operation: "migrating.get", id });
  }
  /** The payload, or null if there is none. */
  async find(id) {
    const found = await this.#new.find(id);
    if (found !== null) return isTombstone(found) ? null : found;
    const old = await this.#old.find(id);
    if (old === null) return null;
    const again = await this.#new.find(id);
    return again === null ? old : isTombstone(again) ? null : again;
  }
  /** Whether there is a payload. */
  async has(id) {
    return await this.find(id) !== null;
  }
  /** Removes a payload; whether there was one. One that the old store has leaves a tombstone in the new store. */
  async delete(id) {
    if (!await this.#old.has(id)) return await this.#deleteNew(id);
    const found = await this.#new.find(id);
    if (isTombstone(found)) return false;
    await this.#new.put(id, TOMBSTONE);
    return true;
  }
  async #deleteNew(id) {
    if (isTombstone(await this.#new.find(id))) return false;
    return await this.#new.delete(id);
  }
  /** Sets another expiry; whether there was a payload. One that only the old store has is moved first. */
  async touch(id, expiresAt) {
    const found = await this.#new.find(id);
    if (isTombstone(found)) return false;
    if (found === null) await this.#bring(id);
    const isTouched = await this.#new.touch(id, expiresAt);
    if (isTouched) await this.#outlive(id, expiresAt);
    return isTouched;
  }
  /**
   * Ends the move: removes the tombstones from the new store, and answers how many there were. Call it when all records
   * have been moved and every process works with the new store alone: this store would find again in the old one what was
   * deleted. Meanwhile nobody may put a payload under an id that was deleted during the move: it could be removed.
   */
  async finish() {
    let count = 0;
    for await (const { records } of this.#newRecords.pagesOfSizes()) {
      for (const { id, bytes } of records) {
        if (bytes !== TOMBSTONE.byteLength || !isTombstone(await this.#new.find(id))) continue;
        if (await this.#new.delete(id)) count += 1;
      }
    }
    for await (const { records } of this.#newRecords.pages("states")) {
      for (const record of records.filter(isTombstoneRecord)) {
        await this.#new.states.delete(record.sagaName, record.sagaId);
        count += 1;
      }
    }
    return count;
  }
  /** Moves a payload, if the new store has none of its id. */
  async #bring(id) {
    const [record] = await this.#oldRecords.fetch("payloads", [id]);
    if (record != null && !isOver(record, Date.now())) await this.#newRecords.importRecords("payloads", [record], "skip-existing");
  }
  /** What is over in the new store must not come back from the old one: where it would live on there, it is removed. */
  async #outlive(id, expiresAt) {
    if (expiresAt === void 0) return;
    if (!await this.#old.has(id)) return;
    const [old] = await this.#oldRecords.fetch("payloads", [id]);
    if (old != null && (old.expiresAt === void 0 || old.expiresAt > expiresAt)) await this.#old.delete(id);
  }
};
function migrating(oldStore, newStore) {
  return new MigratingStore(oldStore, newStore);
}

// ts/store/open.ts
var import_node_worker_threads2 = require("node:worker_threads");

// ts/observe.ts
var import_node_diagnostics_channel = require("node:diagnostics_channel");
var import_types9 = require("node:util/types");
var channel = (0, import_node_diagnostics_channel.tracingChannel)("sagastore:operation");
var ANSWERS = { NOT_FOUND: "warn", CONCURRENCY_CONFLICT: "debug", ALREADY_EXISTS: "debug" };
function statusOf2(error) {
  const { sqlState, serverCode } = error;
  return sqlState ?? (serverCode === void 0 ? void 0 : String(serverCode));
}
function isTraced() {
  const { start, end, asyncStart, asyncEnd, error } = channel;
  return start.hasSubscribers || end.hasSubscribers || asyncStart.hasSubscribers || asyncEnd.hasSubscribers || error.hasSubscribers;
}
var SYSTEM_NAMES = {
  memory: "sagastore.memory",
  sqlite: "sqlite",
  postgres: "postgresql",
  redis: "redis",
  mongodb: "mongodb",
  dynamodb: "aws.dynamodb"
};
function subjectOf2(operation, args, routingSlipId) {
  const [first, data, expiresAt] = args;
  const subject = { operation: operation.name, kind: operation.kind };
  const id = idOf(operation, args);
  if (id !== void 0) subject.id = id;
  Object.assign(subject, sagaOf(operation, first));
  if (operation.by === "ids" && first.length > 1) subject.batchSize = first.length;
  if ((0, import_types9.isUint8Array)(data)) subject.bytes = data.byteLength;
  if (routingSlipId !== void 0) subject.routingSlipId = routingSlipId;
  const expiries = operation.by === "ids" ? expiresAt ?? [] : [expiresAt];
  const times = expiries.filter(import_types9.isDate).map((date) => Date.prototype.getTime.call(date));
  if (times.length > 0) subject.expiresAt = times.reduce((first2, at) => Math.min(first2, at));
  return subject;
}
function sagaOf({ name, kind, by }, first) {
  if (kind !== "states" && kind !== "executions" || !Array.isArray(first)) return {};
  const text2 = (value) => typeof value === "string" ? value : void 0;
  if (by === "id_in_list") return known({ sagaId: text2(first[0]) });
  if (by !== "name_and_id" && by !== "name_and_other_id") return {};
  const sagaName = text2(first[0]);
  if (by === "name_and_other_id") return known({ sagaName, correlationId: text2(first[1]) });
  const correlationId = name === "states.insert" ? text2(first[first.length - 1]) : void 0;
  return known({ sagaName, sagaId: text2(first[1]), correlationId });
}
var Observer = class {
  #backend;
  #address;
  #log;
  #isDebugEnabled;
  #collections;
  #slowMs;
  constructor(backend, url, { logger, slowMs, collections, namespace }) {
    this.#backend = backend;
    this.#address = { ...addressOf(url), ...namespace === void 0 ? {} : { "db.namespace": namespace } };
    this.#collections = collections;
    this.#slowMs = slowMs === 0 ? Number.POSITIVE_INFINITY : slowMs;
    const chosen = logger === void 0 ? stderrLogger() : checked3(logger);
    this.#log = chosen === void 0 ? {} : writers(chosen);
    this.#isDebugEnabled = debugGate(chosen);
  }
  /** Whether anybody wants to know about an operation that succeeds. */
  get isActive() {
    return this.#log.error !== void 0 || isTraced();
  }
  /** Runs an operation and tells what came of it. */
  watch(subject, start) {
    return isTraced() ? this.#trace(subject, start) : this.#logged(subject, start);
  }
  /** Something that works in a lesser way than it could. */
  warn(operation, message) {
    this.#log.warn?.(`sagastore ${operation}: ${message}`, { backend: this.#backend, operation });
  }
  /** What `tracePromise` does, but that what subscribers do to the context changes nothing. */
  #trace(subject, start) {
    const context = {
      operation: subject.operation,
      backend: this.#backend,
      attributes: {
        "db.system.name": SYSTEM_NAMES[this.#backend],
        "db.operation.name": subject.operation,
        ...this.#address
      }
    };
    if (subject.id !== void 0) context.id = subject.id;
    const routingSlipId = routingSlipIdOf(subject);
    if (routingSlipId !== void 0) context.routingSlipId = routingSlipId;
    if (subject.bytes !== void 0) context.bytes = subject.bytes;
    if (subject.batchSize !== void 0) context.attributes["db.operation.batch.size"] = subject.batchSize;
    const collection = this.#collections(subject.kind);
    if (collection !== void 0) context.attributes["db.collection.name"] = collection;
    const ended = () => {
      channel.asyncStart.publish(context);
      channel.asyncEnd.publish(context);
    };
    let running;
    channel.start.runStores(context, () => {
      running = this.#logged(subject, start);
    });
    channel.end.publish(context);
    return running.then(
      (result) => {
        guarded(() => {
          const bytes = bytesOf3(result);
          if (bytes !== void 0) context.bytes = bytes;
          context.result = result;
        });
        ended();
        return result;
      },
      (error) => {
        guarded(() => {
          if (error instanceof SagaStoreError) {
            context.attributes["error.type"] = error.code;
            const status = statusOf2(error);
            if (status !== void 0) context.attributes["db.response.status_code"] = status;
          }
          context.error = error;
        });
        channel.error.publish(context);
        ended();
        throw error;
      }
    );
  }
  async #logged(subject, start) {
    const began = performance.now();
    const lateMs = subject.expiresAt === void 0 ? 0 : Date.now() - subject.expiresAt;
    try {
      const result = await start();
      if (lateMs > 0 && result !== false) this.#late(subject, began, lateMs);
      const tookMs = performance.now() - began;
      if (tookMs >= this.#slowMs && subject.kind !== "store" && subject.kind !== "moving") {
        this.#log.warn?.(`sagastore ${subject.operation}: slow, ${Math.round(tookMs)} ms`, this.#fields(subject, began));
      }
      if (this.#isDebugEnabled()) {
        const fields = this.#fields(subject, began);
        const bytes = bytesOf3(result);
        if (bytes !== void 0) fields.bytes = bytes;
        this.#log.debug?.(`sagastore ${subject.operation}`, fields);
      }
      return result;
    } catch (reason) {
      const error = toError(reason);
      const level = error instanceof SagaStoreError ? ANSWERS[error.code] ?? "error" : "error";
      const write = this.#log[level];
      if (write !== void 0) {
        const fields = this.#fields(subject, began);
        if (error instanceof SagaStoreError) {
          fields.code = error.code;
          fields.retryable = error.retryable;
          const { attempts } = error;
          if (attempts !== void 0) fields.attempts = attempts;
        }
        write(`sagastore ${subject.operation} failed: ${error instanceof Error ? error.message : String(error)}`, fields);
      }
      throw error;
    }
  }
  /** Often a saga that timed out and still compensates; a wrong clock, or a wrong unit, looks the same. */
  #late(subject, began, lateMs) {
    const what = `expiresAt passed ${(lateMs / 1e3).toFixed(3)} s before the call; kept for lateRetentionMs from now`;
    this.#log.warn?.(`sagastore ${subject.operation}: ${what}`, { ...this.#fields(subject, began), lateMs });
  }
  #fields(subject, began) {
    const fields = { backend: this.#backend, operation: subject.operation };
    if (subject.id !== void 0) fields.id = subject.id;
    if (subject.sagaName !== void 0) fields.sagaName = subject.sagaName;
    if (subject.sagaId !== void 0) fields.sagaId = subject.sagaId;
    if (subject.correlationId !== void 0) fields.correlationId = subject.correlationId;
    const routingSlipId = routingSlipIdOf(subject);
    if (routingSlipId !== void 0) fields.routingSlipId = routingSlipId;
    if (subject.bytes !== void 0) fields.bytes = subject.bytes;
    if (subject.batchSize !== void 0) fields.batchSize = subject.batchSize;
    fields.durationMs = Math.round((performance.now() - began) * 1e3) / 1e3;
    return fields;
  }
};
var CLAIM_ID = /^slip-(.+)-\d+$/;
function routingSlipIdOf(subject) {
  return subject.routingSlipId ?? (typeof subject.id === "string" ? CLAIM_ID.exec(subject.id)?.[1] : void 0);
}
function bytesOf3(result) {
  return result instanceof Uint8Array ? result.byteLength : void 0;
}
function addressOf(url) {
  if (!URL.canParse(url)) return {};
  const { protocol, hostname: hostname2, port, searchParams } = new URL(url);
  const address = {};
  if (protocol === "dynamodb:") {
    if (hostname2 !== "") address["cloud.region"] = hostname2;
    return { ...address, ...addressOf(searchParams.get("endpoint") ?? "") };
  }
  if (hostname2 !== "") address["server.address"] = hostname2;
  if (port !== "") address["server.port"] = Number(port);
  return address;
}
var LEVELS = ["debug", "info", "warn", "error"];
function guarded(observe) {
  try {
    return observe();
  } catch {
    return void 0;
  }
}
function checked3(logger) {
  const missing = LEVELS.filter((level) => typeof guarded(() => logger?.[level]) !== "function");
  if (missing.length > 0)
    throw invalidArgument(`option 'logger' must have the methods ${LEVELS.join(", ")}; missing: ${missing.join(", ")}`);
  return logger;
}
function writers(logger) {
  const fieldsFirst = guarded(() => "bindings" in logger) === true;
  const writer = (level) => {
    return (message, fields) => guarded(() => {
      const write = logger[level];
      const written = fieldsFirst ? write.call(logger, fields, message) : write.call(logger, message, fields);
      if (isPromiseLike(written)) written.then(void 0, () => void 0);
    });
  };
  return { debug: writer("debug"), info: writer("info"), warn: writer("warn"), error: writer("error") };
}
function debugGate(logger) {
  if (logger === void 0) return () => false;
  return () => guarded(() => {
    const asked = logger.isLevelEnabled;
    return typeof asked !== "function" || Boolean(asked.call(logger, "debug"));
  }) === true;
}
function stderrLogger() {
  const least = LEVELS.indexOf((process.env.SAGASTORE_LOG ?? "").toLowerCase());
  if (least < 0) return void 0;
  const at = (level) => (message, fields) => {
    if (LEVELS.indexOf(level) < least) return;
    process.stderr.write(`${(/* @__PURE__ */ new Date()).toISOString()} ${level.toUpperCase().padStart(5)} ${message} ${JSON.stringify(fields)}
`);
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    isLevelEnabled: (level) => LEVELS.indexOf(level) >= least
  };
}

// ts/run/conversation.ts
var import_promises13 = require("node:timers/promises");

// ts/run/deadlines.ts
var Deadlines = class {
  timeoutMs;
  /** Who has waited longest comes first. */
  #waiting = /* @__PURE__ */ new Set();
  #timer;
  constructor(timeoutMs) {
    this.timeoutMs = timeoutMs;
  }
  /** Begins a wait. While there is one, the process does not end by itself. */
  start(onOver) {
    const waiting = { until: performance.now() + this.timeoutMs, onOver };
    this.#waiting.add(waiting);
    if (this.#timer === void 0) this.#wake(this.timeoutMs);
    else if (this.#waiting.size === 1) this.#timer.ref();
    return waiting;
  }
  end(waiting) {
    if (this.#waiting.delete(waiting) && this.#waiting.size === 0) this.#timer?.unref();
  }
  #wake(ms) {
    this.#timer = setTimeout(() => this.#onWake(), Math.min(ms, LONGEST_TIMER_MS));
  }
  #onWake() {
    this.#timer = void 0;
    const now = performance.now();
    const over = [];
    for (const waiting of this.#waiting) {
      if (waiting.until > now) {
        this.#wake(Math.ceil(waiting.until - now));
        break;
      }
      over.push(waiting);
    }
    for (const waiting of over) {
      this.#waiting.delete(waiting);
      waiting.onOver();
    }
  }
};

// ts/run/lead.ts
var import_promises11 = require("node:timers/promises");
var OF_SEVERAL = ["executions", "outbox", "moving"];
function isLed(operation, carrier) {
  const isSeveral = carrier.backend === "sqlite" && OF_SEVERAL.includes(operation.kind) && operation.writes;
  return isSeveral && !carrier.isSynchronous && !carrier.isTransaction && carrier.begin !== void 0;
}
async function lead(store, carrier, operation, run4, classify) {
  const { operationTimeoutMs, retryAttempts, retryBaseMs, retryMaxMs } = store.settings;
  const end = performance.now() + operationTimeoutMs;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once(carrier, operation, run4, classify, end - performance.now(), operationTimeoutMs);
    } catch (failure) {
      const pause2 = Math.random() * Math.min(retryMaxMs, retryBaseMs * 2 ** (attempt - 1));
      const { retryable, code } = failure;
      const isInTime = performance.now() + pause2 < end;
      if (!retryable || code === "CONNECTION" || attempt >= retryAttempts || !isInTime) throw failure;
      await (0, import_promises11.setTimeout)(pause2);
    }
  }
}
function once(carrier, operation, run4, classify, timeoutMs, totalMs) {
  let isLate = false;
  let thrown;
  const work = async (transaction3) => {
    if (isLate) throw new Error("the operation is over");
    try {
      return await run4(transactionCarrier(transaction3, "the client's transaction", operation.name));
    } catch (failure) {
      thrown = { failure };
      throw failure instanceof Error ? failure : toError(failure);
    }
  };
  const begun = carrier.begin(work, { timeoutMs: totalMs }).catch((error) => {
    if (thrown !== void 0) throw thrown.failure;
    throw error instanceof SagaStoreError ? error : { ...classify(error), operation: operation.name };
  });
  return within(timeoutMs, begun, () => {
    isLate = true;
    const message = `no answer of the client within operationTimeoutMs (${totalMs} ms)`;
    return failureOf("TIMEOUT", message, { backend: carrier.backend, operation: operation.name, retryable: true });
  });
}

// ts/run/conversation.ts
var DONE = -1;
var FAILED = -2;
var IN_TRANSACTION = 1;
var BUFFERED = 2;
var AT_ONCE2 = 4;
var ONE_SERVER = 8;
var UNSTARTED = -1;
var Conversations = class {
  #native;
  /** The client that the store was made from, if it was. */
  #home;
  #deadlines;
  #makesWay;
  /** For each carrier the last write of each id that is under way: the next one waits for it. */
  #tails = /* @__PURE__ */ new WeakMap();
  /** Operations whose client has not answered yet. */
  #underWay = 0;
  #onIdle = [];
  constructor(store, home, makesWay) {
    this.#native = store;
    this.#makesWay = makesWay;
    this.#home = home;
    this.#deadlines = new Deadlines(store.settings.operationTimeoutMs);
  }
  /** Ready when nothing is under way. */
  async ended() {
    if (this.#underWay > 0) await new Promise((resolve) => this.#onIdle.push(resolve));
  }
  /** Runs one operation. On a client that answers synchronously it has been done when this returns. */
  run(route, operation, args) {
    const { carrier } = route;
    let running;
    let attempt;
    let verified;
    try {
      carrier.check?.();
      if (!route.isJoined && isLed(operation, carrier)) return this.#settled(this.#lead(route, operation, args));
      if (!route.isJoined && carrier.isSynchronous) attempt = guardOf(carrier)?.attempt(operation.writes);
      const conversation = new Conversation(this.#native, route, this.#home, operation, args, this.#deadlines);
      const ids = writtenBy(operation, args);
      if (route.unit !== void 0) {
        conversation.takeArguments();
        running = route.unit.next(() => conversation.run());
      } else running = ids === void 0 ? conversation.run() : this.#inOrder(conversation, carrier, ids);
    } catch (error) {
      running = Promise.reject(error);
    } finally {
      verified = attempt?.ran();
    }
    const settled3 = this.#settled(running);
    return verified === void 0 ? settled3 : Promise.all([settled3, verified]).then(([value]) => value);
  }
  /** What an operation comes to, for its caller. */
  #settled(running) {
    this.#underWay += 1;
    return running.then(
      // The work has been done; a client that answers at once must not keep the event loop from turning.
      (value) => {
        this.#leave();
        const answer = asBuffer(value);
        return this.#makesWay() ? turn().then(() => answer) : answer;
      },
      (failure) => {
        this.#leave();
        return this.#makesWay() ? turn().then(() => raise(failure)) : raise(failure);
      }
    );
  }
  /** In a transaction of its own; behind other writes of the same id. */
  #lead(route, operation, args) {
    const { carrier } = route;
    const given = taken(args);
    const runOn = (transaction3) => new Conversation(this.#native, { ...route, carrier: transaction3 }, this.#home, operation, given, this.#deadlines).run();
    const run4 = () => lead(this.#native, carrier, operation, runOn, (error) => this.classify(error));
    const ids = writtenBy(operation, given);
    if (ids === void 0) return run4();
    const known4 = this.#tailsOf(carrier);
    const before = ids.flatMap((id) => known4.get(id) ?? []);
    return keep(known4, ids, (ended) => Promise.allSettled(before).then(run4).finally(ended));
  }
  #leave() {
    this.#underWay -= 1;
    if (this.#underWay === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }
  /** What the client threw, as the error that it stands for. */
  classify(error) {
    return withCause(this.#native.classify(describeClientError(error)), error);
  }
  /** Waits until it is known that what is joined is in a transaction; rejects if it is in none. Nothing: it is in one. */
  confirm(route, operation) {
    const isOpen = route.carrier.isOpen?.(route) ?? true;
    if (isOpen === true) return void 0;
    const answered = (open3) => {
      if (!open3) throw notOpen(route, operation);
    };
    const refused = (error) => {
      throw toError({ ...this.classify(error), operation });
    };
    return Promise.resolve(isOpen).then(answered, refused);
  }
  #tailsOf(carrier) {
    let tails = this.#tails.get(carrier);
    if (tails === void 0) {
      tails = /* @__PURE__ */ new Map();
      this.#tails.set(carrier, tails);
    }
    return tails;
  }
  /** Two writes of one id are never under way at once: a pool would let them overtake each other. */
  #inOrder(conversation, carrier, ids) {
    const known4 = this.#tailsOf(carrier);
    const before = known4.size === 0 ? [] : ids.flatMap((id) => known4.get(id) ?? []);
    if (before.length === 0) {
      const state = conversation.start();
      if (!("answer" in state)) return settled2(state);
      return keep(known4, ids, (ended) => conversation.wait(state, ended));
    }
    conversation.takeArguments();
    return keep(known4, ids, (ended) => conversation.behind(Promise.allSettled(before)).finally(ended));
  }
};
function keep(tails, ids, begin) {
  const running = begin(() => {
    for (const id of ids) if (tails.get(id) === running) tails.delete(id);
  });
  for (const id of ids) tails.set(id, running);
  return running;
}
var Conversation = class {
  #native;
  #route;
  #carrier;
  #home;
  #unit;
  #operation;
  #args;
  #deadlines;
  /** What the client threw last. */
  #cause;
  constructor(store, route, home, operation, args, deadlines) {
    this.#native = store;
    this.#route = route;
    this.#carrier = route.carrier;
    this.#unit = route.unit;
    this.#home = home;
    this.#operation = operation;
    this.#args = args;
    this.#deadlines = deadlines;
  }
  /** For one that begins later than at its call: the caller may have other plans for what it has given. */
  takeArguments() {
    this.#args = taken(this.#args);
  }
  /** Waits for `before`, and runs then; both together have the operation's time. */
  behind(before) {
    let isOver2 = false;
    const running = before.then(() => isOver2 ? Promise.reject(this.#timeout()) : this.run());
    return within(this.#deadlines.timeoutMs, running, () => {
      isOver2 = true;
      return this.#timeout();
    });
  }
  run() {
    const state = this.start();
    return "answer" in state ? this.wait(state) : settled2(state);
  }
  /** Runs until the first answer that has to be waited for. */
  start() {
    const over = this.#isOver();
    if (over !== void 0) return over;
    const { isJoined, isRequired } = this.#route;
    if ((isJoined || isRequired) && this.#carrier.isOpen !== void 0 && this.#operation.kind !== "store") {
      const isOpen = this.#carrier.isOpen(this.#route);
      if (isOpen === false) return this.#opened(false);
      if (isOpen !== true) {
        this.takeArguments();
        return { handle: UNSTARTED, answer: isOpen };
      }
    }
    return this.#begin();
  }
  #opened(isOpen) {
    if (isOpen !== true) return { failure: notOpen(this.#route, this.#operation.name) };
    return this.#isOver() ?? this.#begin();
  }
  /** What has waited for another write, or for an answer, may come too late. A unit of work is sent when it is over. */
  #isOver() {
    if (this.#unit !== void 0) return void 0;
    try {
      checkRoute(this.#route, this.#operation.name, this.#carrier.backend);
      return void 0;
    } catch (failure) {
      return { failure };
    }
  }
  #begin() {
    const { isTransaction: isTransaction2, isBuffered, isSynchronous, isOneServer } = this.#carrier;
    const kind = isBuffered ? BUFFERED | AT_ONCE2 : isSynchronous ? AT_ONCE2 : 0;
    const facts = kind | (isTransaction2 ? IN_TRANSACTION : 0) | (isOneServer ? ONE_SERVER : 0);
    const [id, data, expiresAt] = this.#args;
    const operation = this.#operation.number;
    if (this.#unit === void 0) return this.#advance(this.#native.start(operation, facts, id, data, expiresAt));
    return this.#advance(this.#native.startIn(this.#unit.handle, operation, facts, id, data, expiresAt));
  }
  /** Waits for this answer and all others, at most for the operation's time. `ended` is called in a later microtask. */
  wait(first, ended) {
    return new Promise((resolve, reject) => {
      let handle;
      const deadline = this.#deadlines.start(() => {
        if (handle !== void 0 && handle !== UNSTARTED) this.#native.abandon(handle);
        handle = void 0;
        ended?.();
        reject(this.#timeout());
      });
      const listen = (state) => {
        if ("answer" in state) {
          handle = state.handle;
          state.answer.then(
            (value) => handle !== void 0 && listen(this.#answer(handle, value)),
            (error) => handle !== void 0 && listen(this.#thrown(handle, error))
          );
          return;
        }
        handle = void 0;
        this.#deadlines.end(deadline);
        ended?.();
        if ("value" in state) resolve(state.value);
        else reject(state.failure);
      };
      listen(first);
    });
  }
  #advance(outcome) {
    if (outcome === void 0) return { value: void 0 };
    const handle = outcome[0];
    if (handle === DONE) return { value: outcome[1] };
    if (handle === FAILED) return { failure: withCause(outcome[1], this.#cause) };
    let answer;
    try {
      answer = this.#ask(handle, outcome[1], outcome.slice(2));
    } catch (error) {
      return this.#thrown(handle, error);
    }
    return isPromiseLike(answer) ? { handle, answer } : this.#answer(handle, answer);
  }
  #ask(handle, method, args) {
    switch (method) {
      case "pause":
        return (0, import_promises13.setTimeout)(args[0]);
      case "meanwhile":
        return this.#native.meanwhile(handle);
      default:
        return this.#carrier.send(method, args, this.#home);
    }
  }
  #answer(handle, answer) {
    if (handle === UNSTARTED) return this.#opened(answer);
    return this.#advance(this.#native.resume(handle, true, answer, this.#args[1]));
  }
  #thrown(handle, error) {
    if (handle === UNSTARTED) {
      const failure = this.#native.classify(describeClientError(error));
      return { failure: withCause({ ...failure, operation: this.#operation.name }, error) };
    }
    this.#cause = error;
    return this.#advance(this.#native.resume(handle, false, describeClientError(error), this.#args[1]));
  }
  #timeout() {
    const message = `no answer of the client within operationTimeoutMs (${this.#deadlines.timeoutMs} ms)`;
    const retryable = this.#operation !== OPERATIONS.transaction;
    const id = idOf(this.#operation, this.#args);
    return failureOf("TIMEOUT", message, { backend: this.#carrier.backend, operation: this.#operation.name, retryable, id });
  }
};
function notOpen({ carrier, isJoined }, operation) {
  const what = isJoined ? `what was given as a transaction (${carrier.library}) is in none: begin it first` : `the client (${carrier.library}) is in no transaction, and the store was opened with requireTransaction`;
  return invalidArgument(`${what}; nothing was written`, operation, carrier.backend);
}
function settled2(state) {
  return "value" in state ? Promise.resolve(state.value) : Promise.reject(state.failure);
}
function withCause(failure, cause) {
  return cause === void 0 || failure.causes.length === 0 ? failure : { ...failure, cause };
}
function asBuffer(value) {
  if (!(value instanceof Uint8Array) || Buffer.isBuffer(value)) return value;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

// ts/store/given.ts
var import_types10 = require("node:util/types");
var KNOWN = {
  url: true,
  client: true,
  namespace: true,
  logger: true,
  slowMs: true,
  lateRetentionMs: true,
  maxPayloadBytes: true,
  compression: true,
  maxDecompressedBytes: true,
  operationTimeoutMs: true,
  connectTimeoutMs: true,
  retry: true,
  completedTtlMs: true,
  defaultTtlMs: true,
  executionTtlMs: true,
  recoveryBackoffMs: true,
  maxHistoryEntries: true,
  maxHistoryBytes: true,
  outbox: true,
  getTransaction: true,
  requireTransaction: true,
  tableName: true,
  statesTableName: true,
  executionsTableName: true,
  logTableName: true,
  outboxTableName: true,
  inboxTableName: true,
  durability: true,
  schema: true,
  poolSize: true,
  keyPrefix: true,
  statesKeyPrefix: true,
  executionsKeyPrefix: true,
  outboxKeyPrefix: true,
  inboxKeyPrefix: true,
  tlsCaFile: true,
  database: true,
  collectionName: true,
  statesCollectionName: true,
  executionsCollectionName: true,
  logCollectionName: true,
  outboxCollectionName: true,
  inboxCollectionName: true,
  region: true,
  endpoint: true,
  credentials: true
};
var URLS = {
  memory: "memory://name",
  sqlite: "sqlite:orders.db",
  postgres: "postgres://user@host/database",
  redis: "redis://host:6379",
  mongodb: "mongodb://host/database",
  dynamodb: "dynamodb://region/table"
};
function givenBy([options, ...others], backend) {
  const invalid3 = (message, cause) => invalidArgument(message, "open", backend ?? void 0, cause);
  if (others.some((other2) => other2 !== void 0)) {
    throw invalid3("a store takes one argument: a connection string, or options with 'url' or 'client' among them");
  }
  const given = backend === "memory" ? { url: "memory://" } : {};
  if (options === void 0 && backend === "memory") return given;
  if (typeof options === "string") return { url: options };
  refuseClient(options, invalid3);
  let read;
  try {
    if (!isRecord(options)) throw invalid3(`a store takes a connection string, or options with 'url' or 'client'; got ${kindOf(options)}`);
    read = { ...given, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== void 0)) };
  } catch (error) {
    throw error instanceof SagaStoreError ? error : invalid3("the options cannot be read", error);
  }
  if (read.url === void 0 && read.client === void 0) throw invalid3(nowhere(options, read, backend));
  return read;
}
function refuseClient(options, invalid3) {
  const isOther = typeof options === "function" || typeof options === "object" && options !== null && !isPlain(options);
  if (!isOther || Array.isArray(options) || (0, import_types10.isProxy)(options)) return;
  let library;
  try {
    ;
    ({ library } = recognize(options, "it", "open"));
  } catch {
    return;
  }
  throw invalid3(`this is a client (${library}), and a store takes options: pass it as { client }`);
}
function isPlain(options) {
  if ((0, import_types10.isProxy)(options)) return true;
  const prototype = Object.getPrototypeOf(options);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
function nowhere(options, read, backend) {
  const wanted = `a store takes 'url' (a connection string such as ${URLS[backend ?? "postgres"]}) or 'client' (a client of the application)`;
  const unknown = Object.keys(read).filter((name) => !Object.hasOwn(KNOWN, name));
  if (unknown.length > 0) return `unknown option ${unknown.map((name) => `'${name.slice(0, 60)}'`).join(", ")}: ${wanted}`;
  const unset = ["url", "client"].filter((name) => name in options);
  if (unset.length > 0) return `option ${unset.map((name) => `'${name}'`).join(" and ")} is undefined: ${wanted}`;
  return `neither 'url' nor 'client' is given: ${wanted}`;
}
function kindOf(value) {
  if (value === null || value === void 0) return String(value);
  return Array.isArray(value) ? "an array" : `a ${typeof value === "object" ? value.constructor?.name || "object" : typeof value}`;
}

// ts/store/places.ts
var NAMES3 = {
  payloads: ["", "payloads", "saga_store"],
  states: ["states", "sagas", "saga_instances"],
  executions: ["executions", "executions", "saga_executions"],
  outbox: ["outbox", "outbox", "saga_outbox"],
  inbox: ["inbox", "inbox", "saga_inbox"]
};
function collectionsOf(backend, url, options) {
  if (backend === "redis" || backend === "memory") return () => void 0;
  const given = options;
  const what = backend === "mongodb" ? "collectionName" : "tableName";
  const names = {};
  for (const [kind, [before, word, byDefault]] of Object.entries(NAMES3)) {
    const option = before === "" ? what : `${before}${what[0]?.toUpperCase()}${what.slice(1)}`;
    const ofNamespace = given.namespace === void 0 ? byDefault : `${given.namespace}_${word}`;
    names[kind] = given[option] ?? ofNamespace;
  }
  if (backend === "dynamodb") names.payloads = given.tableName ?? (pathOf(url) || names.payloads);
  return (kind) => names[kind];
}
function namespaceOf(backend, url, options) {
  const { database, schema } = options;
  switch (backend) {
    case "postgres": {
      const name = pathOf(url) || database;
      return name === void 0 || schema === void 0 ? name : `${name}|${schema}`;
    }
    case "mongodb":
      return database ?? (url === "" ? void 0 : pathOf(url) || "sagas");
    case "redis":
      return url === "" ? void 0 : pathOf(url) || "0";
    case "sqlite":
      return url === "" ? void 0 : url.replace(/^sqlite:(\/\/)?/, "");
    default:
      return void 0;
  }
}
function pathOf(url) {
  const path = /^[a-z+-]+:\/\/[^/?#]*\/([^?#]*)/.exec(url)?.[1];
  try {
    return path === void 0 ? void 0 : decodeURIComponent(path);
  } catch {
    return path;
  }
}

// ts/store/open.ts
var PRIVATE = /* @__PURE__ */ new Set(["memory://", "memory:", "sqlite::memory:"]);
function open2(backend, args) {
  const { logger, slowMs = 1e3, client, getTransaction, requireTransaction, ...rest } = givenBy(args, backend);
  if (getTransaction !== void 0 && typeof getTransaction !== "function") {
    throw invalidArgument("option 'getTransaction' must be a function", "open", backend ?? void 0);
  }
  if (requireTransaction !== void 0 && typeof requireTransaction !== "boolean") {
    throw invalidArgument("option 'requireTransaction' must be true or false", "open", backend ?? void 0);
  }
  if (!Number.isSafeInteger(slowMs) || slowMs < 0) {
    throw invalidArgument("option 'slowMs' must be a whole number from 0 on", "open", backend ?? void 0);
  }
  const carrier = client === void 0 ? void 0 : clientCarrier5(client, rest.url, backend);
  const json = jsonOf(rest, backend);
  const opened = carrier === void 0 ? native.NativeStore.open(backend, json, realSetImmediate, import_node_worker_threads2.isMainThread) : native.NativeStore.openOnClients(carrier.backend, json, realSetImmediate, import_node_worker_threads2.isMainThread);
  if (!(opened instanceof native.NativeStore)) throw toError(opened);
  const direct = opened.operations();
  const name = opened.backend;
  return {
    backend: name,
    native: opened,
    direct,
    observer: new Observer(name, opened.url, {
      logger,
      slowMs,
      collections: collectionsOf(name, opened.url, rest),
      namespace: namespaceOf(name, opened.url, rest)
    }),
    conversations: new Conversations(opened, carrier, direct.makesWay),
    client: carrier,
    getTransaction,
    requiresTransaction: requireTransaction === true,
    history: { maxHistoryEntries: rest.maxHistoryEntries ?? 1e4, maxHistoryBytes: rest.maxHistoryBytes ?? 50 * 1024 * 1024 },
    maxRetries: rest.outbox?.maxRetries ?? 10,
    facts: factsFor(opened, carrier, rest)
  };
}
function factsFor(opened, carrier, options) {
  const backend = opened.backend;
  const { maxPayloadBytes: most = Number.POSITIVE_INFINITY } = options;
  return {
    backend,
    where: whereOf(carrier === void 0 ? opened.url : `${backend} by ${carrier.library}`, options),
    // Two clients may be of two databases; what has no name is private.
    isShared: carrier === void 0 && !PRIVATE.has(opened.url),
    maxPayloadBytes: (id) => {
      const { maxPayloadBytes: limit } = opened.capabilities;
      const isWhole = backend === "dynamodb" || backend === "mongodb";
      return Math.min(most, isWhole ? limit + 1 - Buffer.byteLength(id) : limit);
    }
  };
}
function backendOf2(args) {
  const { url, client } = givenBy(args, null);
  if (client !== void 0) return clientCarrier5(client, url, null).backend;
  if (typeof url !== "string" || url === "") {
    throw invalidArgument(`option 'url' must be a connection string; got ${url === "" ? "an empty one" : typeof url}`, "open");
  }
  const backend = native.backendOf(url);
  if (typeof backend !== "string") throw toError(backend);
  return backend;
}
function clientCarrier5(client, url, backend) {
  if (url !== void 0) throw invalidArgument("give either 'url' or 'client', not both", "open", backend ?? void 0);
  if (backend === "memory") throw invalidArgument("the memory store has no option 'client'", "open", backend);
  const carrier = recognize(client, "option 'client'", "open");
  if (backend !== null && carrier.backend !== backend) {
    throw invalidArgument(`option 'client' is a ${carrier.library} client of ${carrier.backend}`, "open", backend);
  }
  if (carrier.isBuffered) {
    const message = `option 'client' is a transaction that is sent at its end (${carrier.library}): give the client, and use withTransaction`;
    throw invalidArgument(message, "open", carrier.backend);
  }
  return carrier;
}
function jsonOf(options, backend) {
  try {
    return JSON.stringify(options, jsonValue);
  } catch (cause) {
    throw invalidArgument("the options cannot be read", "open", backend ?? void 0, cause);
  }
}
function jsonValue(_name, value) {
  const isLost = typeof value === "function" || typeof value === "symbol" || typeof value === "bigint";
  return isLost || typeof value === "number" && !Number.isFinite(value) ? false : value;
}

// ts/store/store.ts
var import_node_util = require("node:util");

// ts/kinds/payloads.ts
var import_types11 = require("node:util/types");

// ts/kinds/payload-lists.ts
function payloadsWanted(options, backend) {
  const { prefix = "", cursor } = options;
  if (typeof prefix !== "string") throw invalidArgument("option 'prefix' must be a string", "list", backend);
  const limit = pageLimitOf(options, "list", backend);
  const list2 = ["payloads", prefix];
  return { list: list2, prefix, limit, after: positionOf(cursor, list2, "list", backend) };
}
function payloadPage(read, { list: list2 }, backend) {
  const now = Date.now();
  const items = read.records.filter((record) => !isOver(record, now));
  const page = read.cursor === null ? { items } : { items, cursor: cursorOf(list2, read.cursor) };
  const [first] = read.unreadable;
  if (first === void 0) return page;
  const [id, why] = first;
  const error = errorOf("CORRUPT_DATA", `${read.unreadable.length} of the payloads cannot be read; the first: ${why}`, {
    backend,
    operation: "list",
    id
  });
  throw Object.defineProperty(error, "found", { value: page });
}
function payloadStat(id, { bytes, originalBytes, compressed, expiresAt }) {
  return { id, bytes, compressed, ...originalBytes !== null && { originalBytes }, ...expiresAt !== null && { expiresAt } };
}

// ts/kinds/payloads.ts
var LIST = { prefix: true, limit: true, cursor: true };
var Payloads = class {
  #runner;
  /** @internal */
  constructor(runner) {
    this.#runner = runner;
  }
  /**
   * Stores a payload. Data and expiry of an earlier one are replaced together. Once it has resolved,
   * a `get` of any process sees the payload; if it rejects, do not emit the event. In a transaction
   * the payload is stored when that commits, or not at all. Writes of one id take effect in the order of the calls,
   * awaited or not; a read is no write, and does not wait.
   *
   * @param id the claim id: 1 to 1,024 bytes of UTF-8
   * @param data the payload; it must not be changed or transferred before the promise has settled (as with
   *   `fs.write`): other bytes could be stored
   * @param expiresAt when the payload ceases to exist; never, if left out. If the time has passed already (a saga
   *   that timed out and still has to compensate), the payload is kept for `lateRetentionMs`, and the store logs a
   *   warning. A time before 2001 is refused: it was made of seconds, not of milliseconds
   * @throws PayloadTooLargeError, AlreadyExpiredError, InvalidArgumentError, ConnectionError, TimeoutError
   */
  put(id, data, expiresAt, options) {
    let bytes;
    let routingSlipId;
    try {
      bytes = unshared(data);
      if (options !== void 0) routingSlipId = routingSlipIdOf2(options, this.#runner.backend);
    } catch (error) {
      return this.#runner.refuse(error, "put");
    }
    return this.#runner.run(OPERATIONS.put, id, bytes, expiresAt, routingSlipId);
  }
  /**
   * The payload. A read does not wait for writes: one that is called before a `put` of its id has settled may answer
   * what was there before it.
   *
   * @throws NotFoundError if there is none, or if its time is over: then `expiredAt` says since when, where the backend
   *   has not removed it yet (not in a transaction)
   */
  get(id) {
    return this.#runner.run(OPERATIONS.get, id);
  }
  /** The payload, or null if there is none. */
  find(id) {
    return this.#runner.run(OPERATIONS.find, id);
  }
  /** Whether there is a payload. */
  has(id) {
    return this.#runner.run(OPERATIONS.has, id);
  }
  /**
   * Removes a payload; whether there was one. (Inside a transaction that is only sent at its end, a Redis
   * MULTI or DynamoDB's TransactItems, that is not known: `undefined`.)
   */
  delete(id) {
    return this.#runner.run(OPERATIONS.delete, id);
  }
  /** Sets another expiry, under the same rules as `put`; whether there was a payload. */
  touch(id, expiresAt) {
    return this.#runner.run(OPERATIONS.touch, id, void 0, expiresAt);
  }
  /**
   * Stores several payloads. Resolves when all are stored; rejects if one is not, and then the
   * others may be. Nothing is sent if one of them is invalid.
   */
  putMany(entries) {
    let list2;
    try {
      list2 = listed(entries);
    } catch (cause) {
      return this.#refuse(`putMany takes an iterable of entries, each ${ENTRY2}`, "putMany", cause);
    }
    const ids = [];
    const data = [];
    const expiresAt = [];
    for (const [index, entry] of list2.entries()) {
      let problem;
      let id;
      let cause;
      try {
        const { id: claimId, data: bytes, expiresAt: at } = entry ?? {};
        id = claimId;
        problem = problemOf(entry, claimId, bytes, at);
        if (problem === void 0) {
          ids.push(claimId);
          data.push(unshared(bytes));
          expiresAt.push(at);
        }
      } catch (error) {
        problem = "cannot be read";
        cause = error;
      }
      if (problem !== void 0) return this.#refuse(`entry ${index} ${problem}`, "putMany", cause, id);
    }
    return this.#runner.run(OPERATIONS.putMany, ids, data, expiresAt);
  }
  /** The payloads of several ids; an id without one is not in the map. */
  async getMany(ids) {
    let list2;
    try {
      list2 = listed(ids);
    } catch (cause) {
      return this.#refuse("getMany takes an iterable of ids", "getMany", cause);
    }
    const payloads = await this.#runner.run(OPERATIONS.getMany, list2);
    const found = /* @__PURE__ */ new Map();
    list2.forEach((id, index) => {
      const payload = payloads[index];
      if (payload != null) found.set(id, payload);
    });
    return found;
  }
  /**
   * The ids of payloads with their sizes and expiries, in pages of at most `limit` (1 to 1,000, default 100). Give the cursor
   * of a page to get the next one; the last page has no cursor. A page may have fewer items, also none, although it is
   * not the last. Payloads that are stored or removed meanwhile may be in the list or not.
   *
   * In memory, on SQLite, PostgreSQL and MongoDB the order is that of the bytes of the ids. Redis and DynamoDB have no
   * order of keys: there it is that of SCAN and Scan, which read all keys, and Redis may tell one twice. Nothing is blocked.
   *
   * @throws CorruptDataError if one of them cannot be read. Its `found` is the page of the others
   * @throws UnsupportedError in a transaction
   */
  async list(options) {
    const { backend } = this.#runner;
    let wanted;
    try {
      wanted = payloadsWanted(optionsOf(options, LIST, "list", backend), backend);
    } catch (error) {
      return await this.#runner.refuse(error, "list");
    }
    const { prefix, after, limit } = wanted;
    return payloadPage(await this.#runner.run(OPERATIONS.list, [{ prefix, after, limit }]), wanted, backend);
  }
  /**
   * Size and expiry of a payload, and whether it is compressed; null if there is none. Its bytes are not read, but on
   * MongoDB and DynamoDB.
   *
   * @throws UnsupportedError in a transaction
   */
  async stat(id) {
    if (typeof id !== "string")
      return await this.#runner.refuse(invalidArgument("an id must be a string", "stat", this.#runner.backend), "stat");
    const found = await this.#runner.run(OPERATIONS.stat, [id]);
    return found === null ? null : payloadStat(id, found);
  }
  #refuse(message, operation, cause, id) {
    const where = { operation, backend: this.#runner.backend, cause, ...typeof id === "string" ? { id } : {} };
    return this.#runner.refuse(errorOf("INVALID_ARGUMENT", message, where), operation);
  }
};
var ENTRY2 = "{ id: string, data: Uint8Array, expiresAt?: Date }";
var ENTRY_NAMES = /* @__PURE__ */ new Set(["id", "data", "expiresAt", "routingSlipId"]);
function problemOf(entry, id, data, expiresAt) {
  if (Array.isArray(entry)) return `is an array; an entry is ${ENTRY2}`;
  if (typeof entry !== "object" || entry === null) return `is no object; an entry is ${ENTRY2}`;
  const unknown = Object.keys(entry).find((name) => !ENTRY_NAMES.has(name) && entry[name] !== void 0);
  if (unknown !== void 0) return `has an unknown property '${unknown.slice(0, 60)}'; accepted: ${[...ENTRY_NAMES].join(", ")}`;
  if (typeof id !== "string") return `has a wrong id: it must be a string; an entry is ${ENTRY2}`;
  if (!(0, import_types11.isUint8Array)(data)) return `has wrong data: it must be a Uint8Array (of a text: Buffer.from(text)); an entry is ${ENTRY2}`;
  if (expiresAt != null && !(0, import_types11.isDate)(expiresAt))
    return "has a wrong expiresAt: it must be a Date, such as new Date(Date.now() + 3600_000) for an hour";
  return void 0;
}
function routingSlipIdOf2(options, backend) {
  const { routingSlipId } = optionsOf(options, { routingSlipId: true }, "put", backend);
  if (routingSlipId === void 0 || typeof routingSlipId === "string") return routingSlipId;
  throw invalidArgument("option 'routingSlipId' must be a string", "put", backend);
}
var COPIED_BYTES = 4096;
function unshared(data) {
  if (!(0, import_types11.isUint8Array)(data) || data.byteLength <= COPIED_BYTES) return data;
  const memory = data.buffer;
  return memory.resizable === true || memory instanceof SharedArrayBuffer ? Uint8Array.prototype.slice.call(data) : data;
}

// ts/run/bell.ts
var AGAIN_MS = 25;
var Bell = class {
  #listen;
  #waiting = /* @__PURE__ */ new Set();
  #isListening = false;
  #count = 0;
  /** @param listen resolves when other processes may have inserted events since it was called the last time */
  constructor(listen) {
    this.#listen = listen;
  }
  /** How often it has rung. */
  get count() {
    return this.#count;
  }
  /** There may be new events. */
  ring() {
    this.#count += 1;
    for (const wait of [...this.#waiting]) wait.end(true);
  }
  /** There may be new events soon: somebody else is about to commit them. */
  ringSoon() {
    this.ring();
    setTimeout(() => this.ring(), AGAIN_MS).unref();
  }
  /** Waits until it has rung more than `since` times, at most so long. */
  wait(since, ms) {
    if (this.#count !== since) return { ended: Promise.resolve(true), end: () => void 0 };
    let resolve;
    const ended = new Promise((settle) => {
      resolve = settle;
    });
    const timer = setTimeout(() => wait.end(false), ms);
    const wait = {
      ended,
      end: (isRung) => {
        clearTimeout(timer);
        this.#waiting.delete(wait);
        resolve(isRung);
      }
    };
    this.#waiting.add(wait);
    this.#hear();
    return wait;
  }
  /** One is listened for at a time, and only while somebody waits. */
  #hear() {
    if (this.#listen === void 0 || this.#isListening) return;
    this.#isListening = true;
    this.#listen().then(
      () => {
        this.#isListening = false;
        this.ring();
      },
      // The store is closed.
      () => void 0
    );
  }
};

// ts/run/event-leases.ts
var EventLeases = class {
  #keeper;
  #kept = /* @__PURE__ */ new Map();
  constructor(keeper) {
    this.#keeper = keeper;
  }
  /** Renews the lease of events that were claimed just now, until `unkeep`, or until their holder was told of them. */
  keep(token, ids, leaseMs, holder) {
    const kept = { ids: new Set(ids), holder };
    this.#kept.set(token, kept);
    void this.#watch(token, kept, leaseMs);
  }
  /** Renews the lease of these no more. */
  unkeep(token, ids) {
    const kept = this.#kept.get(token);
    if (kept === void 0) return;
    const dropped = ids.filter((id) => kept.ids.delete(id));
    if (kept.ids.size === 0) this.#kept.delete(token);
    if (dropped.length > 0) this.#keeper.unkeepEvents(token, dropped);
  }
  /** What has become of events was stored: whoever holds them is told. */
  settled(held, isBack) {
    if (this.#kept.size === 0) return;
    const told = /* @__PURE__ */ new Map();
    for (const [id, token] of held) {
      if (this.#kept.get(token)?.holder.settled === void 0) continue;
      const ids = told.get(token);
      if (ids === void 0) told.set(token, [id]);
      else ids.push(id);
    }
    for (const [token, ids] of told) this.#kept.get(token)?.holder.settled?.(ids, isBack);
  }
  async #watch(token, kept, leaseMs) {
    while (kept.ids.size > 0) {
      let lost3;
      try {
        lost3 = await this.#keeper.keepEvents(token, [...kept.ids], leaseMs);
      } catch {
        lost3 = [...kept.ids];
      }
      if (lost3.length === 0) return;
      const told = lost3.filter((id) => kept.ids.delete(id));
      if (kept.ids.size === 0 && this.#kept.get(token) === kept) this.#kept.delete(token);
      if (told.length > 0) kept.holder.lost(told);
    }
  }
};

// ts/run/renewals.ts
var MAX_BATCH5 = 1e3;
var TOGETHER_MS2 = 20;
var Renewals = class {
  #held = /* @__PURE__ */ new Map();
  #beat;
  #timer;
  #isStopped = false;
  /** @param beat renews leases, and answers the ids of those that are lost */
  constructor(beat) {
    this.#beat = beat;
  }
  /** Resolves with why the lease was lost, or with null after `unkeep`. */
  keep({ sagaId, token, leaseMs }) {
    if (this.#isStopped) return Promise.resolve("the store is closed, and renews it no more");
    return new Promise((settle) => {
      const now = performance.now();
      const held = { sagaId, token, leaseMs, dueAt: now + leaseMs / 3, until: now + leaseMs, isAsked: false, settle };
      this.#held.set(keyOf3(held), held);
      this.#schedule();
    });
  }
  unkeep(lease) {
    this.#end(keyOf3(lease), null);
  }
  /** The store has been closed. */
  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    for (const key of [...this.#held.keys()]) this.#end(key, "the store is closed, and renews it no more");
  }
  #end(key, reason) {
    const held = this.#held.get(key);
    if (held === void 0) return;
    this.#held.delete(key);
    held.settle(reason);
  }
  #schedule() {
    clearTimeout(this.#timer);
    if (this.#held.size === 0) return;
    let next = Number.POSITIVE_INFINITY;
    for (const { isAsked, dueAt, until } of this.#held.values()) next = Math.min(next, isAsked ? until : Math.min(dueAt, until));
    this.#timer = setTimeout(() => this.#turn(), Math.max(1, next - performance.now()));
    this.#timer.unref();
  }
  #turn() {
    const now = performance.now();
    const due = /* @__PURE__ */ new Map();
    for (const [key, held] of this.#held) {
      if (held.until <= now) this.#end(key, "it could not be renewed before it was over");
      else if (!held.isAsked && held.dueAt <= now + TOGETHER_MS2 && due.size < MAX_BATCH5 && !due.has(held.sagaId)) due.set(held.sagaId, held);
    }
    if (due.size > 0) void this.#renew([...due.values()]);
    this.#schedule();
  }
  async #renew(batch) {
    const began = performance.now();
    for (const held of batch) held.isAsked = true;
    let lost3;
    try {
      lost3 = await this.#beat(batch.map(({ sagaId, token, leaseMs }) => [sagaId, token, leaseMs]));
    } catch {
    }
    const now = performance.now();
    for (const held of batch) {
      held.isAsked = false;
      if (lost3?.includes(held.sagaId)) this.#end(keyOf3(held), "another worker has it, or it was ended");
      if (lost3 !== void 0) held.until = began + held.leaseMs;
      held.dueAt = lost3 === void 0 ? now + Math.min(1e3, held.leaseMs / 10) : began + held.leaseMs / 3;
    }
    this.#schedule();
  }
};
function keyOf3({ sagaId, token }) {
  return `${sagaId}\0${token}`;
}

// ts/run/event-renewals.ts
var EventRenewals = class {
  #renewals;
  /** By token. */
  #kept = /* @__PURE__ */ new Map();
  /** @param extend lets leases last longer; the ids of the lost ones */
  constructor(extend) {
    this.#renewals = new Renewals(async (leases) => {
      const byLease = /* @__PURE__ */ new Map();
      for (const [id, token, leaseMs] of leases) {
        const claims = byLease.get(leaseMs);
        if (claims === void 0) byLease.set(leaseMs, [[id, token]]);
        else claims.push([id, token]);
      }
      return (await Promise.all([...byLease].map(([leaseMs, claims]) => extend(claims, leaseMs)))).flat();
    });
  }
  keepEvents(token, ids, leaseMs) {
    const kept = this.#kept.get(token) ?? { ids: /* @__PURE__ */ new Set(), lost: /* @__PURE__ */ new Set(), tell: void 0 };
    this.#kept.set(token, kept);
    for (const id of ids) {
      if (kept.ids.has(id) || kept.lost.has(id)) continue;
      kept.ids.add(id);
      void this.#renewals.keep({ sagaId: id, token, leaseMs }).then((reason) => {
        kept.ids.delete(id);
        if (reason !== null) kept.lost.add(id);
        queueMicrotask(() => this.#tell(token, kept));
      });
    }
    return new Promise((resolve) => {
      kept.tell = resolve;
      this.#tell(token, kept);
    });
  }
  unkeepEvents(token, ids) {
    const lost3 = this.#kept.get(token)?.lost;
    for (const id of ids) {
      lost3?.delete(id);
      this.#renewals.unkeep({ sagaId: id, token });
    }
  }
  /** The store has been closed. */
  stop() {
    this.#renewals.stop();
  }
  #tell(token, kept) {
    if (kept.lost.size === 0 && kept.ids.size > 0) return;
    const { tell } = kept;
    kept.tell = void 0;
    if (tell !== void 0) {
      tell([...kept.lost]);
      kept.lost.clear();
    }
    if (kept.ids.size === 0 && kept.lost.size === 0) this.#kept.delete(token);
  }
};

// ts/store/route.ts
function isTransaction(route) {
  return !("carrier" in route) || route.unit !== void 0 || route.isJoined || route.carrier.isTransaction;
}
var Router = class {
  backend;
  operationTimeoutMs;
  executions;
  outbox;
  #parts;
  #direct;
  #observer;
  /** Whether only a scope can lead elsewhere than to the store's own connections. */
  #isFree;
  /** Once the store is being closed: which transactions of its own go on. */
  #goesOn;
  /** Gets whose callers wait. One by itself may be answered on this thread, where that is the quicker way. */
  #gets = 0;
  #renewals;
  #eventRenewals;
  #answersHere;
  #got = (data) => {
    this.#gets -= 1;
    return data;
  };
  #notGot = (failure) => {
    this.#gets -= 1;
    return this.#missing(failure, (id) => this.#direct.run(OPERATIONS.stat.number, [id, true]));
  };
  constructor(parts) {
    this.backend = parts.backend;
    this.operationTimeoutMs = parts.native.settings.operationTimeoutMs;
    this.#parts = parts;
    this.#direct = parts.direct;
    this.#observer = parts.observer;
    this.#answersHere = parts.native.answersHere;
    this.#isFree = parts.client === void 0 && parts.getTransaction === void 0 && !parts.requiresTransaction;
    this.executions = this.#executions();
    this.outbox = this.#outbox();
  }
  /** Runs an operation, wherever it is called. With nobody listening and no transaction about it goes the shortest way. */
  run(operation, first, data, expiresAt, routingSlipId) {
    if (this.#isFree && !hasScopes() && !this.#observer.isActive) return this.#own(operation, first, data, expiresAt);
    return this.#watched(void 0, operation, [first, data, expiresAt], routingSlipId);
  }
  /** Runs operations in a transaction. */
  on(route) {
    return {
      backend: this.backend,
      operationTimeoutMs: this.operationTimeoutMs,
      run: (operation, first, data, expiresAt, routingSlipId) => this.#watched(route, operation, [first, data, expiresAt], routingSlipId),
      refuse: (error, operation) => this.refuse(error, operation),
      executions: this.executions,
      outbox: { ...this.outbox, isInTransaction: true, whenStored: (done) => whenStored(route, done) }
    };
  }
  /** Runs operations in no transaction, whoever calls it: on the store's own connections, or on its client. */
  #apart() {
    const { client, conversations } = this.#parts;
    const start = (operation, args) => client === void 0 ? this.#own(operation, ...args) : conversations.run({ carrier: client, isJoined: false }, operation, args);
    return {
      backend: this.backend,
      operationTimeoutMs: this.operationTimeoutMs,
      run: (operation, ...args) => {
        try {
          this.#checkOpen(void 0, operation.name);
        } catch (error) {
          return this.#rejected(error);
        }
        return this.#observer.isActive ? this.#observer.watch(subjectOf2(operation, args), () => start(operation, args)) : start(operation, args);
      },
      refuse: (error, operation) => this.refuse(error, operation),
      executions: this.executions,
      outbox: { ...this.outbox, whenStored: (done) => done(true) }
    };
  }
  #outbox() {
    const { native: native2, client, conversations, maxRetries } = this.#parts;
    let keeper = native2;
    if (client !== void 0) {
      const operation = OPERATIONS["outbox.extend"];
      this.#eventRenewals = new EventRenewals(
        (claims, leaseMs) => conversations.run({ carrier: client, isJoined: false }, operation, [[{ claims, leaseMs }]])
      );
      keeper = this.#eventRenewals;
    }
    return {
      bell: new Bell(client === void 0 ? () => native2.rung() : void 0),
      leases: new EventLeases(keeper),
      maxRetries,
      isInTransaction: false,
      apart: () => this.#apart(),
      whenStored: (done) => {
        const joined2 = joinedRoute(this.backend, this);
        if (joined2 !== void 0) whenStored(joined2, done);
        else done(this.#parts.getTransaction === void 0);
      },
      detached,
      warn: (operation, message) => this.#observer.warn(operation, message)
    };
  }
  refuse(error, operation) {
    const isCoded = error instanceof SagaStoreError;
    return this.#rejected(isCoded ? error : invalidArgument("an argument cannot be read", operation, this.backend, error));
  }
  /** Where operations go that are called here and now; none: to the store's own connections. */
  route(operation) {
    const joined2 = joinedRoute(this.backend, this);
    if (joined2 !== void 0) return joined2;
    const { client, getTransaction } = this.#parts;
    const transaction3 = getTransaction?.();
    if (transaction3 !== void 0 && transaction3 !== null) {
      const carrier = transactionCarrier(transaction3, "what getTransaction returned", operation);
      if (carrier.backend === this.backend) return { carrier, isJoined: true };
      const message = `getTransaction returned a transaction of ${carrier.library} on ${carrier.backend}`;
      throw invalidArgument(message, operation, this.backend);
    }
    return client && { carrier: client, isJoined: false };
  }
  /** Leases are renewed from a timer of the native side, on a client of the application from one of JavaScript. */
  #executions() {
    const { native: native2, client, conversations, history } = this.#parts;
    const warn = (operation2, message) => this.#observer.warn(operation2, message);
    const onRollback = (undo) => {
      const joined2 = joinedRoute(this.backend, this);
      if (joined2 === void 0) return;
      joined2.undo ??= [];
      joined2.undo.push(undo);
    };
    const common = { outside: this, ...history, warn, onRollback };
    if (client === void 0) {
      return {
        ...common,
        keep: ({ sagaId, token, leaseMs }) => native2.keep(sagaId, token, leaseMs),
        unkeep: ({ sagaId, token }) => native2.unkeep(sagaId, token)
      };
    }
    const operation = OPERATIONS["executions.heartbeat"];
    const beat = (runs) => conversations.run({ carrier: client, isJoined: false }, operation, [[{ runs }]]);
    const renewals = new Renewals(beat);
    this.#renewals = renewals;
    return { ...common, keep: (lease) => renewals.keep(lease), unkeep: (lease) => renewals.unkeep(lease) };
  }
  /** An error of `get`: of a payload that has expired and is still there it says when that was. */
  async #missing(reason, stat2) {
    const { code, id } = reason;
    if (code !== "NOT_FOUND" || id === void 0 || this.backend === "redis") return raise(reason);
    const expiredAt = await stat2(id).then(
      (found) => found?.expiresAt,
      () => void 0
    );
    if (expiredAt == null) return raise(reason);
    const message = `not found: the payload of this id expired at ${expiredAt.toISOString()}`;
    throw Object.assign(errorOf("NOT_FOUND", message, { backend: this.backend, operation: "get", id }), { expiredAt });
  }
  /** The store is being closed: only what belongs to a transaction that goes on is still done. */
  refuseNew(goesOn) {
    this.#goesOn = goesOn;
    this.#isFree = false;
  }
  #checkOpen(route, operation) {
    if (this.#goesOn === void 0 || route !== void 0 && this.#goesOn(route)) return;
    throw errorOf("CLOSED", "the store is closed", { operation, backend: this.backend });
  }
  /** The store is closed. */
  close() {
    this.#renewals?.stop();
    this.#eventRenewals?.stop();
  }
  #watched(within2, operation, args, routingSlipId) {
    const start = () => this.#start(within2, operation, args);
    return this.#observer.isActive ? this.#observer.watch(subjectOf2(operation, args, routingSlipId), start) : start();
  }
  #start(within2, operation, args) {
    let route;
    try {
      route = within2 ?? this.route(operation.name);
      if (route !== void 0) checkRoute(route, operation.name, this.backend);
      this.#checkOpen(route, operation.name);
      if (this.#parts.requiresTransaction) route = this.#required(route, operation);
    } catch (error) {
      return this.#rejected(error);
    }
    const { client, native: native2, conversations } = this.#parts;
    if (route === void 0) return this.#own(operation, ...args);
    if (operation.kind === "moving" && isTransaction(route)) {
      const message = "whole records are moved outside transactions: call it outside of this one";
      return this.#rejected(errorOf("UNSUPPORTED", message, { backend: this.backend, operation: operation.name }));
    }
    if ("carrier" in route && route.unit === void 0) {
      const running2 = conversations.run(route, operation, args);
      if (operation !== OPERATIONS.get || isTransaction(route)) return running2;
      const stat2 = (id) => conversations.run(route, OPERATIONS.stat, [[id, true]]);
      return running2.catch((error) => this.#missing(error, stat2));
    }
    if (operation === OPERATIONS.statistics) {
      if (client !== void 0) return conversations.run({ carrier: client, isJoined: false }, operation, args);
      return this.#own(operation, ...args);
    }
    if (operation.kind === "store") {
      const message = `${operation.name} is not part of a transaction: call it outside`;
      return this.#rejected(errorOf("UNSUPPORTED", message, { backend: this.backend, operation: operation.name }));
    }
    if ("carrier" in route) return conversations.run(route, operation, args);
    const [first, data, expiresAt] = args;
    const running = native2.runIn(route.transaction, operation.number, first, data, expiresAt);
    return running.then(void 0, raise);
  }
  /** A rejection that is found out on this side of the boundary: it makes way like all other answers. */
  #rejected(error) {
    return this.#direct.makesWay() ? turn().then(() => Promise.reject(error)) : Promise.reject(error);
  }
  /** With `requireTransaction`: the route, if it leads into a transaction, or may; operations on tables need none. */
  #required(route, operation) {
    if (operation.kind === "store") return route;
    if (route !== void 0) {
      if (!("carrier" in route) || route.isJoined) return route;
      if (route.carrier.isOpen !== void 0) return { ...route, isRequired: true };
      if (route.carrier.isTransaction) return route;
    }
    const message = "outside of any transaction, and the store was opened with requireTransaction: use store.transaction or withTransaction. Inside of one? A callback (not a promise) of a library can lose the context that withTransaction goes by";
    throw invalidArgument(message, operation.name, this.backend);
  }
  /** On the store's own connections. */
  #own(operation, first, data, expiresAt) {
    if (operation === OPERATIONS.get) return this.#get(first);
    return this.#asked(operation, first, data, expiresAt).then(void 0, raise);
  }
  #asked(operation, first, data, expiresAt) {
    if (operation === OPERATIONS.put) return this.#direct.put(first, data, expiresAt);
    if (operation.kind !== "store") return this.#direct.run(operation.number, first, data, expiresAt);
    const { native: native2 } = this.#parts;
    if (operation === OPERATIONS["states.reindex"]) return native2.reindex(first);
    return native2[operation.name](first);
  }
  #get(id) {
    if (this.#answersHere && this.#gets === 0) {
      const found = this.#direct.getHere(id);
      if (found !== void 0) {
        this.#gets = 1;
        return Promise.resolve(found).then(this.#got);
      }
    }
    const getting = this.#direct.get(id);
    this.#gets += 1;
    return getting.then(this.#got, this.#notGot);
  }
};
function whenStored(route, done) {
  route.done ??= [];
  route.done.push(done);
}

// ts/store/transactions.ts
var import_promises17 = require("node:timers/promises");

// ts/store/transaction.ts
var SagaTransaction = class extends Payloads {
  #query;
  /** As `SagaStore.states`: its changes are stored with the transaction, or not at all. */
  states;
  /** As `SagaStore.executions`: its changes are stored with the transaction, or not at all. */
  executions;
  /** As `SagaStore.outbox`: events are stored with the transaction, or not at all. */
  outbox;
  /** As `SagaStore.inbox`: messages are remembered with the transaction, or not at all. */
  inbox;
  /** @internal */
  constructor(runner, query) {
    super(runner);
    this.#query = query;
    this.states = new SagaStates(runner);
    this.executions = new SagaExecutions(runner);
    this.outbox = new SagaOutbox(runner);
    this.inbox = new SagaInboxEntries(runner);
  }
  /**
   * Runs a statement of the application's own in the transaction (PostgreSQL and SQLite).
   *
   * @param sql one statement, with `$1..$n` on PostgreSQL and `?` on SQLite. Beginning and ending the
   *   transaction is `store.transaction`'s; savepoints are free to use
   * @param values null, booleans, numbers, bigints, text, Dates, bytes; on PostgreSQL also arrays, and
   *   objects for json. `undefined` is null
   * @returns rows as objects. PostgreSQL's `bigint` and `numeric` are text (as with `pg`), times are Dates, `bytea` is a Buffer
   */
  query(sql, values = []) {
    return this.#query(sql, values);
  }
};

// ts/store/transactions.ts
var ROLLED_BACK = "it was rolled back";
var NO_ANSWER = "there was no answer to the commit, so it is not known whether it has happened";
var ROLLBACK_MS = 500;
var Transactions = class {
  #parts;
  #router;
  #backend;
  #underWay = /* @__PURE__ */ new Set();
  /** Where the work of those under way goes, and how to end it. */
  #routes = /* @__PURE__ */ new Map();
  #isClosing = false;
  /** Whether those that were under way have been ended. */
  #isOver = false;
  constructor(parts, router) {
    this.#parts = parts;
    this.#router = router;
    this.#backend = parts.backend;
  }
  run(work, options) {
    let isolation;
    try {
      isolation = this.#isolationOf(work, options);
    } catch (error) {
      return this.#router.refuse(error, "transaction");
    }
    const start = () => this.#transact(work, isolation);
    const { observer } = this.#parts;
    return observer.isActive ? observer.watch({ operation: "transaction", kind: "transaction" }, start) : start();
  }
  /** Whether this is a transaction of the store's whose work is under way. */
  isUnderWay(route) {
    return this.#routes.has(route);
  }
  /** Opens no more transactions; ready when those under way have ended. After `limitMs` they are ended (`CLOSED`). */
  async close(limitMs) {
    this.#isClosing = true;
    const around = joinedRoute(this.#backend, this.#router);
    if (around !== void 0) this.#routes.get(around)?.(this.#closed());
    await atMost(limitMs, Promise.allSettled(this.#underWay));
    this.#isOver = true;
    for (const end of this.#routes.values()) end(this.#closed());
  }
  #closed() {
    return errorOf("CLOSED", "the store is closed", { backend: this.#backend, operation: "transaction" });
  }
  /** Whether a transaction that is opened here and now is collected and sent at its end, and can be asked nothing before. */
  endLate() {
    const { native: native2, requiresTransaction } = this.#parts;
    if (native2.capabilities.transactions !== "buffered" || requiresTransaction) return false;
    const route = this.#router.route("transaction");
    return route === void 0 || "carrier" in route && !route.isJoined;
  }
  #isolationOf(work, options) {
    const invalid3 = (message) => invalidArgument(message, "transaction", this.#backend);
    if (typeof work !== "function") throw invalid3("transaction takes a function");
    const { isolation } = optionsOf(options, { isolation: true }, "transaction", this.#backend);
    const levels = this.#parts.native.capabilities.isolation;
    if (isolation === void 0 || levels.includes(isolation)) return isolation;
    throw invalid3(`option 'isolation' is ${levels.length === 0 ? `not for ${this.#backend}` : `one of '${levels.join("', '")}'`}`);
  }
  async #transact(work, isolation) {
    const route = this.#router.route("transaction");
    if (route !== void 0 && !("carrier" in route && !route.isJoined)) {
      checkRoute(route, "transaction", this.#backend);
      return await work(this.#transactionOn(route));
    }
    if (this.#isClosing) throw this.#closed();
    const running = this.#attempts(work, isolation);
    this.#underWay.add(running);
    try {
      return await running;
    } finally {
      this.#underWay.delete(running);
    }
  }
  async #attempts(work, isolation) {
    const { native: native2, client, direct } = this.#parts;
    const { retryAttempts, retryBaseMs, retryMaxMs, operationTimeoutMs } = native2.settings;
    const until = performance.now() + operationTimeoutMs;
    for (let attempt = 1; ; attempt += 1) {
      try {
        if (this.#isOver) throw this.#closed();
        if (client === void 0) return await this.#own(work, until, isolation);
        const result = await this.#onClient(client, work, until, isolation);
        if (direct.makesWay()) await turn();
        return result;
      } catch (error) {
        if (direct.makesWay()) await turn();
        const passes = error instanceof SagaStoreError && error.retryable && error.code === "BACKEND";
        const pause2 = Math.random() * Math.min(retryMaxMs, retryBaseMs * 2 ** (attempt - 1));
        if (!passes || attempt >= retryAttempts || performance.now() + pause2 >= until) throw error;
        await (0, import_promises17.setTimeout)(pause2);
      }
    }
  }
  async #own(work, until, isolation) {
    const { native: native2 } = this.#parts;
    const begun = native2.begin(isolation ?? null).then(void 0, raise);
    const transaction3 = await this.#inTime(until, begun, () => {
      begun.then((late) => native2.rollBack(late)).catch(() => void 0);
      return this.#timeout("it did not begin");
    });
    let isOver2 = false;
    const route = { transaction: transaction3, isOver: () => isOver2 };
    try {
      const result = await this.#worked(route, work, until);
      isOver2 = true;
      await this.#inTime(until, native2.commit(transaction3).then(void 0, raise), () => this.#timeout(NO_ANSWER));
      happened(route, true);
      return result;
    } catch (error) {
      isOver2 = true;
      takeBack(route);
      const rolledBack2 = native2.rollBack(transaction3).catch(() => void 0);
      await atMost(Math.max(ROLLBACK_MS, until - performance.now()), rolledBack2);
      throw error;
    }
  }
  /** What `running` comes to, unless the time of the call is over before. */
  #inTime(until, running, late) {
    return within(Math.max(0, until - performance.now()), running, late);
  }
  #timeout(what) {
    const message = `the transaction took longer than operationTimeoutMs (${this.#parts.native.settings.operationTimeoutMs} ms): ${what}`;
    return errorOf("TIMEOUT", message, { backend: this.#backend, operation: "transaction" });
  }
  async #onClient(client, work, until, isolation) {
    if (client.takesUnits) return this.#unitOfWork(client, work, until);
    if (client.begin === void 0) {
      const what = client.isTransaction ? "is a transaction, or may be in one" : "is one connection, which others use too";
      throw this.#unsupported(`the ${client.library} client ${what}: use withTransaction, or a client that can open another`, "transaction");
    }
    let isOver2 = false;
    let isWorked = false;
    let thrown;
    let route;
    const run4 = async (transaction3) => {
      try {
        if (isOver2) throw this.#timeout("it did not begin");
        const carrier = transactionCarrier(transaction3, "the client's transaction", "transaction");
        route = { carrier, isJoined: true, isOver: () => isOver2 };
        const result = await this.#worked(route, work, until);
        isWorked = true;
        return result;
      } catch (error) {
        thrown = { error };
        throw error;
      } finally {
        isOver2 = true;
      }
    };
    const timeoutMs = Math.max(1, Math.ceil(until - performance.now()));
    const late = () => {
      isOver2 = true;
      return this.#timeout(isWorked ? NO_ANSWER : ROLLED_BACK);
    };
    try {
      const begun = client.begin(run4, isolation === void 0 ? { timeoutMs } : { isolation, timeoutMs });
      const result = await this.#inTime(until, begun, late).catch(async (error) => {
        const ended = begun.catch(() => void 0);
        if (isOver2 && !isWorked && route !== void 0) await atMost(ROLLBACK_MS, ended);
        throw error;
      });
      if (route !== void 0) happened(route, true);
      return result;
    } catch (error) {
      if (route !== void 0) takeBack(route);
      if (thrown !== void 0) throw thrown.error;
      throw error instanceof SagaStoreError ? error : toError(this.#parts.conversations.classify(error));
    }
  }
  /** Collects what `work` does, and sends all of it at the end. */
  async #unitOfWork(client, work, until) {
    const { native: native2, conversations } = this.#parts;
    const opened = native2.openUnit();
    if ("code" in opened) throw toError(opened);
    let isOver2 = false;
    const route = { carrier: client, isJoined: true, isOver: () => isOver2, unit: new UnitOfWork(opened) };
    try {
      const result = await this.#worked(route, work, until);
      isOver2 = true;
      await this.#inTime(until, conversations.run(route, OPERATIONS.transaction, []), () => this.#timeout(NO_ANSWER));
      happened(route, true);
      return result;
    } catch (error) {
      takeBack(route);
      throw error;
    } finally {
      isOver2 = true;
    }
  }
  /** What `work` comes to in a transaction, unless it takes longer than an operation may. */
  async #worked(route, work, until) {
    if (this.#isOver) throw this.#closed();
    const working = runJoined(this.#backend, this.#router, route, async () => work(this.#transactionOn(route)));
    const ended = new Promise((_, reject) => this.#routes.set(route, reject));
    try {
      return await this.#inTime(until, Promise.race([working, ended]), () => this.#timeout(ROLLED_BACK));
    } finally {
      this.#routes.delete(route);
    }
  }
  #transactionOn(route) {
    return new SagaTransaction(this.#router.on(route), (sql, values) => this.#query(route, sql, values));
  }
  async #query(route, sql, values) {
    const { native: native2, conversations, direct } = this.#parts;
    let bound;
    try {
      checkRoute(route, "query", this.#backend);
      bound = this.#bound(sql, values);
    } catch (error) {
      return this.#router.refuse(error, "query");
    }
    if (!("carrier" in route)) return native2.queryIn(route.transaction, sql, bound).then(void 0, raise);
    const confirmed = conversations.confirm(route, "query");
    if (confirmed !== void 0) await confirmed;
    try {
      const rows = await route.carrier.send("rows", [sql, bound]);
      if (direct.makesWay()) await turn();
      return rows;
    } catch (error) {
      throw toError({ ...conversations.classify(error), operation: "query" });
    }
  }
  /** The values of a statement. A library may read them later than now. */
  #bound(sql, values) {
    if (this.#backend !== "postgres" && this.#backend !== "sqlite")
      throw this.#unsupported("query is for SQL: PostgreSQL and SQLite", "query");
    const invalid3 = (message) => invalidArgument(message, "query", this.#backend);
    if (typeof sql !== "string") throw invalid3("query takes a statement as text");
    if (!Array.isArray(values)) throw invalid3("query takes its values as an array");
    return Array.from(values, (value) => value === void 0 ? null : takenDate(value));
  }
  #unsupported(message, operation) {
    return errorOf("UNSUPPORTED", message, { backend: this.#backend, operation });
  }
};

// ts/store/store.ts
var HEALTH_TIMEOUT_MS = 5e3;
var SagaStore = class extends Payloads {
  /** Which backend it is. */
  backend;
  #parts;
  #router;
  #transactions;
  #states;
  #executions;
  #outbox;
  #inbox;
  #facet;
  #closed;
  /** @internal */
  constructor(backend, args) {
    const parts = open2(backend, args);
    const router = new Router(parts);
    super(router);
    this.backend = parts.backend;
    this.#parts = parts;
    this.#router = router;
    this.#transactions = new Transactions(parts, router);
    giveRecords(this, new Records(router));
    giveFacts(this, parts.facts);
  }
  /** The state of saga instances: see `SagaStates`. */
  get states() {
    this.#states ??= new SagaStates(this.#router);
    return this.#states;
  }
  /** What sagas are doing, step by step, and who works on them: see `SagaExecutions`. */
  get executions() {
    this.#executions ??= new SagaExecutions(this.#router);
    return this.#executions;
  }
  /** Events that are published after the data that they tell of is stored: see `SagaOutbox`. */
  get outbox() {
    this.#outbox ??= new SagaOutbox(this.#router);
    return this.#outbox;
  }
  /** Which messages have been applied: see `SagaInbox`. */
  get inbox() {
    this.#inbox ??= new SagaInbox(this.#router, {
      transaction: (work) => this.transaction(work),
      learnsLate: () => this.#transactions.endLate()
    });
    return this.#inbox;
  }
  /** What this backend can do. */
  get capabilities() {
    return this.#parts.native.capabilities;
  }
  /**
   * Removes payloads and sagas whose time is over (`expiresAt`; `defaultTtlMs`, `completedTtlMs`), at most `limit` of
   * them, in batches. Answers how many. Redis removes both by itself; there this call removes from the lists of sagas
   * what is no longer stored. DynamoDB removes both within days; there this call reads the whole table, and AWS charges
   * for it: one read unit for every 4 KB stored, and a write unit for every KB removed.
   */
  purgeExpired(options) {
    let limit;
    try {
      limit = mostOf(optionsOf(options, { limit: true }, "purgeExpired", this.backend), "purgeExpired", this.backend);
    } catch (error) {
      return this.#router.refuse(error, "purgeExpired");
    }
    return this.#router.run(OPERATIONS.purgeExpired, limit);
  }
  /** Removes all payloads whose time is over. */
  async cleanup() {
    await this.purgeExpired();
  }
  /**
   * The statements that `initialize` runs in an empty database, for people who run their own migrations: the tables
   * of payloads and of sagas with their indexes (PostgreSQL and SQLite).
   *
   * @throws UnsupportedError on other backends
   */
  schemaSql() {
    const statements7 = this.#parts.native.schema();
    if (!Array.isArray(statements7)) throw toError(statements7);
    return statements7.map((statement) => `${statement};
`).join("");
  }
  /** Creates tables and indexes where they are missing. Safe to call from many processes at once. */
  async initialize() {
    const warnings = await this.#router.run(OPERATIONS.initialize);
    for (const warning of warnings) this.#parts.observer.warn("initialize", warning);
  }
  /** Whether the store can be used. Never rejects; takes at most five seconds. */
  async health() {
    const { client, native: native2 } = this.#parts;
    const health = client === void 0 ? native2.health() : this.#healthOf(client);
    return { ...await health, backend: this.backend };
  }
  async statistics(options) {
    const { backend } = this;
    let isCounted;
    try {
      isCounted = optionsOf(options, { count: true }, "statistics", backend).count ?? true;
      if (typeof isCounted !== "boolean") throw invalidArgument("option 'count' must be true or false", "statistics", backend);
    } catch (error) {
      return await this.#router.refuse(error, "statistics");
    }
    if (!isCounted) {
      const figures = await this.#parts.native.figures().catch(raise);
      return { backend, pool: figures.pool, operations: figures.operations };
    }
    const statistics = await this.#router.run(OPERATIONS.statistics);
    const states = await detached(() => this.states.count()).then(
      (count) => ({ count }),
      () => null
    );
    return { backend, ...statistics, states };
  }
  /**
   * Runs `work` in a transaction. What it does through `tx`, or through this store, is stored as a whole
   * when it resolves, and not at all when it rejects. If another transaction got in its way (`retryable`),
   * everything is rolled back and `work` runs again, at most `retry.attempts` times. After `operationTimeoutMs`
   * the transaction is rolled back.
   *
   * Inside another transaction of this store, or of the application (`withTransaction`), it joins that one. Before it is
   * awaited it has no order with what is called outside of it.
   *
   * @throws TimeoutError if `work` took longer than `operationTimeoutMs`
   * @throws UnsupportedError if the server, or the client that the store was given, has no transactions
   */
  transaction(work, options) {
    return this.#transactions.run(work, options);
  }
  /**
   * All records as they are stored, one by one, kind by kind: for `importRecords` of another store. What has expired is
   * left out; what is stored meanwhile may be left out. Nothing is blocked. `transfer` moves them faster.
   *
   * @param options `kinds`: default everything
   * @throws CorruptDataError if one cannot be read, without `onUnreadable`
   */
  exportAll(options) {
    return this.#whole().exportAll(options);
  }
  /**
   * Stores records as they are: bytes, expiries, versions, dates, and all else. What has expired is counted, and not
   * stored.
   *
   * @throws TransferError if one of them could not be stored: all others are
   */
  importRecords(records, options) {
    return this.#whole().importRecords(records, options);
  }
  /** How many records of each kind there are; about, where counting would read everything. */
  count(options) {
    return this.#whole().counts(options);
  }
  #whole() {
    this.#facet ??= new Facet(this.#router);
    return this.#facet;
  }
  /**
   * Closes the store. What is called from now on is `CLOSED`, and so is a new transaction. Operations that were called
   * before are answered, and transactions of this store (`store.transaction`) that are under way go on to their end;
   * after `operationTimeoutMs` they are ended with `CLOSED` and rolled back. Then the connections are let go of.
   * Safe to call again: every call resolves when the store is closed.
   */
  close() {
    this.#closed ??= this.#close();
    return this.#closed;
  }
  async #close() {
    const { native: native2, conversations } = this.#parts;
    const until = performance.now() + native2.settings.operationTimeoutMs;
    const left = () => Math.max(0, until - performance.now());
    this.#router.refuseNew((route) => this.#transactions.isUnderWay(route));
    await this.#transactions.close(left());
    this.#router.close();
    await atMost(left(), native2.close().then(void 0, raise));
    await atMost(left(), conversations.ended());
  }
  /** `await using store = openStore(...)` */
  async [Symbol.asyncDispose]() {
    await this.close();
  }
  /** What `console.log` shows: no password. */
  [import_node_util.inspect.custom]() {
    const { client, native: native2 } = this.#parts;
    const what = client === void 0 ? `url: '${native2.url}'` : `client: '${client.library}'`;
    return `${this.constructor.name} { ${what} }`;
  }
  async #healthOf(carrier) {
    const began = performance.now();
    const answered = this.#parts.conversations.run({ carrier, isJoined: false }, OPERATIONS.health, []);
    try {
      return await within(HEALTH_TIMEOUT_MS, answered, () => new Error(`no answer within ${HEALTH_TIMEOUT_MS} ms`));
    } catch (error) {
      const code = error instanceof SagaStoreError ? error.code : "TIMEOUT";
      return { status: "unhealthy", latencyMs: performance.now() - began, message: error.message, details: { code } };
    }
  }
};

// ts/store/classes.ts
var MemorySagaStore = class extends SagaStore {
  constructor(...args) {
    super("memory", args);
  }
};
var SqliteSagaStore = class extends SagaStore {
  constructor(...args) {
    super("sqlite", args);
  }
};
var PostgresSagaStore = class extends SagaStore {
  constructor(...args) {
    super("postgres", args);
  }
};
var RedisSagaStore = class extends SagaStore {
  constructor(...args) {
    super("redis", args);
  }
};
var MongoSagaStore = class extends SagaStore {
  constructor(...args) {
    super("mongodb", args);
  }
};
var DynamoDBSagaStore = class extends SagaStore {
  constructor(...args) {
    super("dynamodb", args);
  }
};
var classes2 = {
  memory: MemorySagaStore,
  sqlite: SqliteSagaStore,
  postgres: PostgresSagaStore,
  redis: RedisSagaStore,
  mongodb: MongoSagaStore,
  dynamodb: DynamoDBSagaStore
};
function openStore(...args) {
  return new classes2[backendOf2(args)](...args);
}
// Annotate the CommonJS export names for ESM import in node:
0 && (module.exports = {
  AlreadyExistsError,
  AlreadyExpiredError,
  ClosedError,
  ConcurrencyError,
  ConnectionError,
  CorruptDataError,
  DynamoDBSagaStore,
  InvalidArgumentError,
  InvalidStateError,
  LeaseLostError,
  MemorySagaStore,
  MigratingStates,
  MigratingStore,
  MongoSagaStore,
  NotFoundError,
  OutboxRelay,
  OutboxSubscription,
  PayloadTooLargeError,
  PostgresSagaStore,
  RedisSagaStore,
  SagaExecutions,
  SagaInbox,
  SagaInboxEntries,
  SagaOutbox,
  SagaRun,
  SagaStates,
  SagaStatesOf,
  SagaStore,
  SagaStoreError,
  SagaTransaction,
  SerializationError,
  SqliteSagaStore,
  TimeoutError,
  Transfer,
  TransferError,
  UnsupportedError,
  cqrsSagaStorage,
  exportToFile,
  idempotencyStore,
  importFromFile,
  migrating,
  openStore,
  outboxEventBusOutbox,
  sagaBusStore,
  sagazOutbox,
  sagazStorage,
  transfer,
  verify,
  withTransaction
});

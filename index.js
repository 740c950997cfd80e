// Generated from ts/ by `npm run build:ts`. Do not edit.
"use strict";
var __defProp = Object.defineProperty;
var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __hasOwnProp = Object.prototype.hasOwnProperty;
var __export = (target, all) => {
  for (var name in all)
    __defProp(target, name, { get: all[name], enumerable: true });
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
  MemorySagaStore: () => MemorySagaStore,
  MongoSagaStore: () => MongoSagaStore,
  NotFoundError: () => NotFoundError,
  PayloadTooLargeError: () => PayloadTooLargeError,
  PostgresSagaStore: () => PostgresSagaStore,
  RedisSagaStore: () => RedisSagaStore,
  SagaStates: () => SagaStates,
  SagaStore: () => SagaStore,
  SagaStoreError: () => SagaStoreError,
  SagaTransaction: () => SagaTransaction,
  SerializationError: () => SerializationError,
  SqliteSagaStore: () => SqliteSagaStore,
  TimeoutError: () => TimeoutError,
  UnsupportedError: () => UnsupportedError,
  openStore: () => openStore,
  sagaBusStore: () => sagaBusStore,
  withTransaction: () => withTransaction
});
module.exports = __toCommonJS(index_exports);

// ts/errors.ts
var SagaStoreError = class extends Error {
  constructor(failure) {
    const cause = failure.cause ?? chain(failure.causes);
    super(describe(failure), cause === void 0 ? void 0 : { cause });
    this.name = new.target.name;
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
var ClosedError = class extends SagaStoreError {
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
  CLOSED: ClosedError
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
  const id = by === "id" ? first : by === "name_and_id" || by === "name_and_other_id" ? first[1] : void 0;
  return typeof id === "string" ? id : void 0;
}
function writtenBy({ writes, by }, [first]) {
  if (!writes) return void 0;
  switch (by) {
    case "id":
      return [first];
    case "ids":
      return first;
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
  const invalid = (what, cause) => invalidArgument(`${what}; accepted: ${Object.keys(accepted).join(", ")}`, operation, backend, cause);
  const taken2 = /* @__PURE__ */ Object.create(null);
  try {
    if (!isRecord(given)) throw invalid("options are an object");
    for (const name of Object.keys(given)) {
      const value = given[name];
      if (value === void 0) continue;
      if (!Object.hasOwn(accepted, name)) throw invalid(`unknown option '${name}'`);
      if (typeof value === "bigint") throw invalid(`option '${name}' is a bigint`);
      taken2[name] = value;
    }
  } catch (error) {
    throw error instanceof SagaStoreError ? error : invalid("the options cannot be read", error);
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

// ts/kinds/state-json.ts
var import_types2 = require("node:util/types");
var DATES = ["createdAt", "updatedAt", "archivedAt", "timeoutExpiresAt"];
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
    const { sagaId, isCompleted = false, version: _, createdAt, updatedAt, ...rest } = metadata;
    const { timeoutExpiresAt, archivedAt } = rest;
    const now = /* @__PURE__ */ new Date();
    const begun = createdAt ?? now;
    const changed = updatedAt == null || isChange && (0, import_types2.isDate)(updatedAt) && updatedAt.getTime() < now.getTime() ? now : updatedAt;
    const known3 = { version, sagaId, isCompleted, createdAt: begun, updatedAt: changed, ...rest };
    const { stored, text: text2 } = this.#serialized(state, known3, operation, sagaId);
    return { given: [sagaName, sagaId, version, isCompleted, begun, changed, timeoutExpiresAt, archivedAt, text2], stored };
  }
  #serialized(state, metadata, operation, id) {
    let stored = state;
    let text2;
    try {
      if ("toJSON" in metadata) throw new TypeError("metadata has a toJSON of its own");
      stored = { metadata, ...withoutMetadata(state) };
      text2 = JSON.stringify(stored);
    } catch (cause) {
      throw this.#unserializable(operation, id, partOf(stored), cause);
    }
    if (text2.includes("\\u0000") || text2.includes("\\ud")) {
      const found = unserializable(JSON.parse(text2));
      if (found.path !== "") throw this.#unserializable(operation, id, found);
    }
    return { stored, text: text2 };
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
    for (let at = 0; at < found.length; at += 3) {
      const [sagaName, sagaId, text2] = found.slice(at, at + 3);
      try {
        if (typeof text2 !== "string") throw this.#corrupt(operation, sagaId, text2.problem);
        sagas.push({ sagaName, state: this.parsed(text2, sagaId, operation) });
      } catch (error) {
        if (!(error instanceof CorruptDataError)) throw error;
        corrupt.push({ sagaName, sagaId, error });
      }
    }
    return { sagas, corrupt };
  }
  /** The state that a text is, with Dates in its metadata. */
  parsed(text2, id, operation = "states") {
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
function withoutMetadata(state) {
  const plain = typeof state.toJSON === "function" ? state.toJSON() : state;
  if (typeof plain !== "object" || plain === null) throw new TypeError("its toJSON() returns no object");
  const { metadata: _, ...rest } = plain;
  return rest;
}
function partOf(state) {
  try {
    return unserializable(state);
  } catch {
    return { path: "", what: "cannot be serialised" };
  }
}
function unserializable(value, path = "", open2 = /* @__PURE__ */ new Set()) {
  const nothing = { path: "", what: "cannot be serialised" };
  if (typeof value === "bigint") return { path, what: "is a BigInt" };
  if (typeof value === "string") {
    if (value.includes("\0")) return { path, what: "contains a NUL character" };
    return new RegExp("\\p{Surrogate}", "u").test(value) ? { path, what: "contains an unpaired surrogate" } : nothing;
  }
  if (typeof value !== "object" || value === null) return nothing;
  if (open2.has(value)) return { path, what: "contains itself" };
  open2.add(value);
  for (const [name, member] of Object.entries(value)) {
    const place = Array.isArray(value) ? `${path}[${name}]` : path === "" ? name : `${path}.${name}`;
    const key = unserializable(name);
    if (key.what !== nothing.what) return { path: place, what: `has a name that ${key.what}` };
    const found = unserializable(member, place, open2);
    if (found.path !== "") return found;
  }
  open2.delete(value);
  return nothing;
}

// ts/kinds/saga-bus.ts
var CLASSES = { ConcurrencyError: true, TransientError: true };
var SOUNDS_TRANSIENT = /timeout|network/i;
function sagaBusStore(states, options) {
  const { ConcurrencyError: Conflict, TransientError: Transient } = checked(states, options);
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
function checked(states, options) {
  const invalid = (message) => invalidArgument(message, "sagaBusStore");
  if (typeof states?.getByCorrelationId !== "function") throw invalid("sagaBusStore takes the 'states' of a store or of a transaction");
  const taken2 = optionsOf(options, CLASSES, "sagaBusStore");
  for (const name of ["ConcurrencyError", "TransientError"]) {
    const isLeftOut = name === "TransientError" && taken2[name] === void 0;
    if (!isLeftOut && typeof taken2[name] !== "function") throw invalid(`option '${name}' must be the class of @saga-bus/core`);
  }
  return taken2;
}
function causedBy(cause, error) {
  error.cause ??= cause;
  return error;
}

// ts/kinds/states.ts
var import_types3 = require("node:util/types");

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
  initialize: { number: 1e3, name: "initialize", kind: "store", writes: true, by: null },
  purgeExpired: { number: 1001, name: "purgeExpired", kind: "store", writes: true, by: null },
  health: { number: 1002, name: "health", kind: "store", writes: false, by: null },
  statistics: { number: 1003, name: "statistics", kind: "store", writes: false, by: null },
  transaction: { number: 1004, name: "transaction", kind: "store", writes: true, by: null },
  "states.reindex": { number: 1005, name: "states.reindex", kind: "store", writes: true, by: null }
};

// ts/kinds/states.ts
var FILTER = { completed: true };
var FIND = { completed: true, limit: true, cursor: true, onCorrupt: true };
var TIMED_OUT = { now: true, limit: true, sagaName: true, onCorrupt: true };
var CLAIM = { workerId: true, leaseMs: true, ...TIMED_OUT };
var MODIFY = { maxRetries: true, retryDelayMs: true };
var MAX_LISTED = 1e3;
var SagaStates = class {
  #runner;
  #json;
  /** @internal */
  constructor(runner) {
    this.#runner = runner;
    this.#json = new StateJson(runner.backend);
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
   * Reads the state, has it changed, and stores it, from the start again where another update came between.
   * `updatedAt` becomes the present, unless `change` sets it.
   *
   * @param change may change what it is given and return that, or return another state; it may run several times
   * @returns the state as it is stored
   * @throws NotFoundError if there is no such saga
   * @throws ConcurrencyError if there were conflicts `maxRetries` times more
   */
  async modify(sagaName, sagaId, change, options) {
    let taken2;
    try {
      taken2 = this.#modifying(change, options);
    } catch (error) {
      return await this.#runner.refuse(error, "states.modify");
    }
    for (let attempt = 0; ; attempt += 1) {
      const state = await this.getById(sagaName, sagaId);
      if (state === null) throw this.#notFound(sagaName, sagaId);
      const { version = 0, updatedAt } = state.metadata;
      const unchanged = updatedAt?.getTime();
      const changed = await change(state);
      try {
        return await this.#write("states.modify", () => {
          const metadata = metadataOf(changed);
          if (metadata === void 0 || metadata.sagaId !== sagaId) {
            throw this.#invalid("the changed state must have the metadata of the saga", "states.modify");
          }
          const isDated = metadata.updatedAt != null && !((0, import_types3.isDate)(metadata.updatedAt) && metadata.updatedAt.getTime() === unchanged);
          return this.#change("states.modify", sagaName, changed, version, { isDated });
        });
      } catch (error) {
        const isConflict = error instanceof SagaStoreError && error.code === "CONCURRENCY_CONFLICT";
        if (!isConflict || attempt >= taken2.maxRetries) throw error;
      }
      const pause = Math.random() * taken2.retryDelayMs * 2 ** attempt;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  /**
   * Inserts a state that has no version, and updates the saga of a state that has one. The saga id is
   * `metadata.sagaId`, or `state.id`. The correlation id of a new saga is `state.correlationId`, or its saga id.
   *
   * @param state with the version that it was read with in `metadata.version`; a new one has none
   * @returns the state as it is stored: save this one the next time
   * @throws ConcurrencyError if another update came between
   * @throws NotFoundError if the saga has been deleted
   * @throws AlreadyExistsError if it has no version, and the saga id or the correlation id is taken
   */
  async save(sagaName, state) {
    return await this.#write("states.save", () => {
      const { id, correlationId } = state ?? {};
      const given = metadataOf(state);
      const sagaId = given?.sagaId ?? id;
      const metadata = { ...given, sagaId };
      const expected = metadata.version ?? void 0;
      return expected === void 0 ? this.#insertion("states.save", sagaName, correlationId ?? sagaId, state, metadata) : this.#change("states.save", sagaName, state, expected, { metadata });
    });
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
    let taken2;
    try {
      taken2 = this.#taken(options, FIND, "states.findByName");
    } catch (error) {
      return await this.#runner.refuse(error, "states.findByName");
    }
    const { completed, limit = 100, cursor, onCorrupt } = taken2;
    const listed2 = await this.#runner.run(OPERATIONS["states.findByName"], [sagaName, completed, cursor, limit]);
    const { sagas, corrupt } = this.#json.listed(listed2, "states.findByName");
    const page = { items: sagas.map(({ state }) => state) };
    if (listed2.length / 3 >= limit) page.cursor = listed2[listed2.length - 2];
    return withoutCorrupt(page, corrupt, onCorrupt);
  }
  /** How many sagas of a name there are; on DynamoDB a moment ago. */
  countByName(sagaName, options) {
    let completed;
    try {
      completed = this.#options(options, FILTER, "states.countByName").completed;
    } catch (error) {
      return this.#runner.refuse(error, "states.countByName");
    }
    return this.#runner.run(OPERATIONS["states.countByName"], [sagaName, completed]);
  }
  /**
   * Removes sagas that ended before a time, at most `limit` of them, in batches. Answers how many. A saga ends when an
   * insert or an update first makes it completed. One that is inserted as completed has ended at its `updatedAt`.
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
    let removed = 0;
    while (removed < limit) {
      const batch = Math.min(MAX_LISTED, limit - removed);
      const count = await this.#runner.run(OPERATIONS["states.deleteCompletedBefore"], [sagaName, until, batch]);
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
      const isAll = enough <= most || most >= MAX_LISTED || listed2.length / 3 < most;
      if (isAll) return withoutCorrupt(sagas.slice(0, limit), corrupt, onCorrupt);
      most = Math.min(MAX_LISTED, enough);
    }
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
      taken2 = this.#taken(options, CLAIM, "states.claimTimedOut");
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
  /** No async function: each of its promises costs event-loop time. */
  #find(operation, sagaName, id) {
    return this.#runner.run(operation, [sagaName, id]).then((text2) => text2 === null ? null : this.#json.parsed(text2, id));
  }
  /** Stores what `make` makes; answers the state as it is stored. */
  async #write(method, make) {
    let record;
    try {
      record = make();
    } catch (error) {
      return await this.#runner.refuse(error, method);
    }
    await this.#runner.run(record.operation, record.given);
    return record.stored;
  }
  #insertion(method, sagaName, correlationId, state, metadata = metadataOf(state)) {
    const version = metadata?.version ?? 1;
    const { given, stored } = this.#json.record(sagaName, state, metadata, { operation: method, version, isChange: false });
    return { operation: OPERATIONS["states.insert"], given: [...given, correlationId], stored };
  }
  /** `isDated`: its `updatedAt` is meant, whatever it is. */
  #change(method, sagaName, state, expected, { isDated = false, metadata = metadataOf(state) } = {}) {
    if (typeof expected !== "number") throw this.#invalid("the version that is expected must be a whole number", method);
    const version = expected + 1;
    const { given, stored } = this.#json.record(sagaName, state, metadata, { operation: method, version, isChange: !isDated });
    return { operation: OPERATIONS["states.update"], given: [...given, expected], stored };
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

// ts/run/context.ts
var import_node_async_hooks2 = require("node:async_hooks");

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
    this.#open = this.#open.filter((open2) => open2 !== scope);
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
function withLiveTransaction(carrier, isTransaction) {
  return Object.defineProperty(carrier, "isTransaction", { get: isTransaction, enumerable: true });
}
var PROBE = "savepoint sagastore; release savepoint sagastore";
function openness(run4, known3 = () => void 0) {
  const asked = /* @__PURE__ */ new WeakSet();
  let asking;
  return (scope) => {
    if (asking !== void 0) return asking;
    const isKnown = known3();
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
    const id = action?.TableName === table ? untyped(attributes.id) : void 0;
    const set = item.Update?.ExpressionAttributeValues ?? {};
    return { id: typeof id === "string" ? id : null, bytes: sizeOf(attributes) + sizeOf(set) };
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
    const plain = { ...action };
    for (const member of WITH_VALUES) if (action[member] !== void 0) plain[member] = plainValues(action[member]);
    return [name, plain];
  });
  return Object.fromEntries(converted);
}
function plainValues(attributes) {
  return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, plainValue(value)]));
}
function plainValue(value) {
  const { S, N, B } = value;
  if (B?.byteLength === 0) return new DataView(new ArrayBuffer(0));
  return N === void 0 ? S ?? B : Number(N);
}
function untyped(value) {
  const entries = typeof value === "object" && value !== null && !(value instanceof Uint8Array) ? Object.entries(value) : [];
  const [only, second] = entries;
  return only !== void 0 && second === void 0 && TYPES.has(only[0]) ? only[1] : value;
}
function sizeOf(value) {
  if (typeof value === "string") return value.length;
  if (value instanceof Uint8Array) return value.byteLength;
  if (value instanceof Set || Array.isArray(value)) return [...value].reduce((sum, one2) => sum + sizeOf(one2), 0);
  if (typeof value !== "object" || value === null) return 1;
  return Object.entries(value).reduce((sum, [name, typed]) => sum + name.length + attributeSize(typed), 0);
}
function attributeSize(typed) {
  const isNumber = typeof typed === "number" || typeof typed?.N === "string";
  return isNumber ? 1 + Math.floor(String(untyped(typed)).length / 2) : sizeOf(untyped(typed));
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
    return { output: withoutMetadata2(await method.call(client, input)) };
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
  const output = withoutMetadata2(await client.send(command));
  return { output, ...date !== void 0 && { date } };
}
function withoutMetadata2({ $metadata, ...output }) {
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
  const coded = chain2.map((fields2) => ({ fields: fields2, found: codeOf(fields2) }));
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
function codeOf(fields) {
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
  const list = Array.isArray(labels) || labels instanceof Set ? [...labels] : [];
  return list.filter((label) => typeof label === "string");
}
function object(value) {
  return typeof value === "object" && value !== null ? value : {};
}
function text(value) {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value : void 0;
}

// ts/clients/redis.ts
function keyOf(command) {
  return command[0] === "EVAL" ? command[3] : command[1];
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
var import_promises = require("node:timers/promises");
var PLAIN = { promoteBuffers: true, promoteLongs: true, promoteValues: true, readPreference: "primary" };
var LIBRARY = "mongodb";
var COMMIT_PAUSE_MS = 50;
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
      const [first, second] = args;
      if (method === "hello") return hello(client, databaseOf(client, first, database));
      return run(databaseOf(client, second, database), first);
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
  let last = Promise.resolve();
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
      const result = last.then(() => {
        check();
        return run(db, first, session);
      });
      last = result.catch(() => void 0);
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
async function transaction(client, work, { timeoutMs }) {
  const session = client.startSession();
  try {
    session.startTransaction({ readPreference: "primary", maxCommitTimeMS: timeoutMs });
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
      await (0, import_promises.setTimeout)(COMMIT_PAUSE_MS);
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
  return cluster.sendCommand(keyOf(args), false, args, AS_BUFFERS);
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
        key ??= keyOf(command) ?? null;
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
  if (multi.addCommand.length === 4) multi.addCommand(keyOf(command), false, command, onReply);
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
  const known3 = proofs.get(owner);
  if (known3 !== void 0) return known3 === "proven" ? void 0 : known3;
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

// ts/clients/statements.ts
var MOST = 200;
var StatementCache = class {
  #prepare;
  #handles = /* @__PURE__ */ new WeakMap();
  constructor(prepare) {
    this.#prepare = prepare;
  }
  of(handle, sql) {
    const known3 = this.#handles.get(handle) ?? /* @__PURE__ */ new Map();
    const found = known3.get(sql);
    if (found !== void 0) return found;
    const statement = this.#prepare(handle, sql);
    if (known3.size >= MOST) known3.delete(known3.keys().next().value);
    known3.set(sql, statement);
    this.#handles.set(handle, known3);
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
  let last = Promise.resolve();
  let waiting = 0;
  return {
    query(config) {
      waiting += 1;
      const result = waiting === 1 ? connection.query(config) : last.then(() => connection.query(config));
      const done = () => {
        waiting -= 1;
      };
      last = result.then(done, done);
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
    if (!this.#isThere()) throw lost();
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
        const answered = () => attempts > 1 ? look(attempts - 1) : reject(lost());
        this.#sql.unsafe(";", [], { prepare: false, onexecute }).then(() => this.#connection === void 0 && answered(), reject);
      };
      look(ATTEMPTS);
    });
  }
};
var ATTEMPTS = 5;
function lost() {
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
  const isTransaction = hasMethods(database, "rollback");
  const carrier = {
    backend: inner.backend,
    library: "drizzle-orm",
    get isTransaction() {
      return isTransaction || inner.isTransaction;
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
  const isTransaction = members.isTransaction === true;
  const knex = client;
  return sqlCarrier(backend, {
    library: "knex",
    isTransaction,
    ...statements3(backend, knex),
    ...!isTransaction && {
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
  const plain = database.withoutPlugins();
  const bound = (values) => backend === "sqlite" ? wholeNumbers(values) : values;
  return {
    query: async (sql, values) => cells((await plain.executeQuery(compiled(sql, bound(values)))).rows),
    execute: async (sql, values) => (await plain.executeQuery(compiled(sql, bound(values)))).numAffectedRows ?? 0,
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
  const isTransaction = !hasMethods(members, "$connect");
  const { query, execute, rows } = statements6(client);
  return sqlCarrier(backend, {
    library: "prisma",
    isTransaction,
    query,
    execute,
    rows,
    ...backend === "postgres" && { owner: membersOf(members._engineConfig) ?? members },
    ...!isTransaction && {
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
var known = /* @__PURE__ */ new WeakMap();
function recognizeSqlClient(client) {
  const members = membersOf(client);
  if (members === void 0) return void 0;
  const found = known.get(members);
  if (found !== void 0) return found;
  for (const recognize2 of recognizers) {
    const carrier = recognize2(client);
    if (carrier !== void 0) {
      known.set(members, carrier);
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
var known2 = /* @__PURE__ */ new WeakMap();
function recognize(client, what, operation) {
  const members = membersOf(client);
  const found = members === void 0 ? void 0 : known2.get(members) ?? recognizeSqlClient(client) ?? other(client, members);
  if (found === void 0) throw invalidArgument(`${what} is none that can be recognised; accepted: ${CLIENTS.join(", ")}`, operation);
  return found;
}
function other(client, members) {
  for (const recognizer of recognizers2) {
    const carrier = recognizer(client);
    if (carrier !== void 0) {
      known2.set(members, carrier);
      return carrier;
    }
  }
  return void 0;
}

// ts/promises.ts
var import_node_timers = require("node:timers");
var realSetImmediate = import_node_timers.setImmediate;
function turn() {
  return new Promise((resolve) => realSetImmediate(resolve));
}
async function within(limitMs, running, late) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(late()), limitMs);
  });
  try {
    return await Promise.race([running, limit]);
  } finally {
    clearTimeout(timer);
  }
}
function isPromiseLike(value) {
  return typeof value === "object" && value !== null && typeof value.then === "function";
}

// ts/run/context.ts
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
function checkRoute(route, operation, backend) {
  if (route.isOver?.() !== true) return;
  throw errorOf("CLOSED", "the transaction that this operation belongs to has ended", { operation, backend });
}
function transactionCarrier(transaction3, what, operation) {
  const carrier = recognize(transaction3, what, operation);
  if (!carrier.isTransaction && (carrier.begin !== void 0 || carrier.takesUnits)) {
    throw invalidArgument(`${what} is a ${carrier.library} client, not a transaction of it`, operation);
  }
  carrier.join?.();
  return carrier;
}
function withTransaction(transaction3, work) {
  const carrier = transactionCarrier(transaction3, "the transaction", "withTransaction");
  if (typeof work !== "function") throw invalidArgument("withTransaction takes a transaction and a function", "withTransaction");
  const handle = enterHandle(carrier);
  let isOver = false;
  const end = () => {
    isOver = true;
    handle?.leave();
  };
  isUsed = true;
  const route = { carrier, isJoined: true, isOver: () => isOver };
  const scope = { backend: carrier.backend, owner: void 0, route, outer: scopes2.getStore() };
  let result;
  try {
    const run4 = () => scopes2.run(scope, work);
    result = handle === void 0 ? run4() : handle.run(run4);
  } catch (error) {
    end();
    throw error;
  }
  if (!isPromiseLike(result)) {
    end();
    return result;
  }
  return Promise.resolve(result).finally(end);
}

// ts/store/open.ts
var import_node_worker_threads = require("node:worker_threads");

// ts/native.ts
var packaged = ["linux-x64-gnu", "linux-arm64-gnu", "linux-x64-musl", "linux-arm64-musl", "darwin-x64", "darwin-arm64", "win32-x64-msvc"];
var native = load();
function load() {
  let binding;
  try {
    binding = require("./native.js");
  } catch (error) {
    throw new Error(describe3(causesOf(error)), { cause: error });
  }
  if (typeof binding.NativeStore !== "function") throw new Error(describe3(["what was loaded is not the addon of sagastore"]));
  return binding;
}
function describe3(causes) {
  const target = platformTarget();
  const file = `sagastore.${target}.node`;
  const name = `sagastore-${target}`;
  const broken = causes.filter((cause) => !/^Cannot find module '(\.\/sagastore\.|sagastore-)/.test(cause));
  const absent = `neither is there (Cannot find module '${name}')`;
  let looked = `Looked for the package ${name} and for the file ${file} in ${__dirname}.`;
  let advice;
  const { NAPI_RS_NATIVE_LIBRARY_PATH: override, NAPI_RS_WASI_FLAVOR: flavor, NAPI_RS_FORCE_WASI: wasi } = process.env;
  if (flavor || wasi === "error") {
    looked = `Looked for a WebAssembly build only, because ${flavor ? "NAPI_RS_WASI_FLAVOR" : "NAPI_RS_FORCE_WASI"} is set; sagastore has none.`;
    advice = `Unset it, and the package ${name} (file ${file}) is used.`;
  } else if (override) {
    looked = `Looked for ${override} only, because NAPI_RS_NATIVE_LIBRARY_PATH is set.`;
    advice = `Unset it, and the package ${name} (file ${file}) is used.`;
  } else if (!packaged.includes(target)) {
    advice = `There is no package for ${target}. There are packages for ${packaged.join(", ")}.`;
  } else if (broken.length > 0) {
    advice = "The file is there, but it is damaged or made for another system (another libc, or a newer one): install the dependencies again, on this machine.";
  } else {
    advice = `${name} is an optional dependency. It is left out by --omit=optional, by a lockfile or a node_modules folder made on another platform, and by a bundle without it: install it in the same version as sagastore.`;
  }
  return [
    `sagastore: the native addon for ${target} cannot be loaded (Node.js ${process.versions.node}).`,
    looked,
    `Cause: ${broken.length > 0 ? [...new Set(broken)].join("; ") : absent}`,
    advice
  ].join("\n");
}
function causesOf(error) {
  const causes = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const line = cause.message.split("\n", 1)[0] ?? "";
    if (!line.startsWith("Cannot find native binding")) causes.unshift(line);
  }
  return causes;
}
function platformTarget() {
  const { platform, arch } = process;
  if (platform === "linux") return `linux-${arch}-${isMusl() ? "musl" : "gnu"}`;
  if (platform === "win32") return `win32-${arch}-msvc`;
  return `${platform}-${arch}`;
}
function isMusl() {
  const report = process.report;
  if (!report?.getReport) return false;
  report.excludeNetwork = true;
  const { header } = report.getReport();
  return header !== void 0 && header.glibcVersionRuntime === void 0;
}

// ts/observe.ts
var import_node_diagnostics_channel = require("node:diagnostics_channel");
var import_types4 = require("node:util/types");
var channel = (0, import_node_diagnostics_channel.tracingChannel)("sagastore:operation");
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
function subjectOf(operation, args, routingSlipId) {
  const [first, data, expiresAt] = args;
  const subject = { operation: operation.name };
  const id = idOf(operation, args);
  if (id !== void 0) subject.id = id;
  if (operation.by === "ids") subject.batchSize = first.length;
  if ((0, import_types4.isUint8Array)(data)) subject.bytes = data.byteLength;
  if (routingSlipId !== void 0) subject.routingSlipId = routingSlipId;
  const expiries = operation.by === "ids" ? expiresAt ?? [] : [expiresAt];
  const times = expiries.filter(import_types4.isDate).map((date) => Date.prototype.getTime.call(date));
  if (times.length > 0) subject.expiresAt = times.reduce((first2, at) => Math.min(first2, at));
  return subject;
}
var Observer = class {
  #backend;
  #address;
  #log;
  #isDebugEnabled;
  constructor(backend, url, logger) {
    this.#backend = backend;
    this.#address = addressOf(url);
    const chosen = logger === void 0 ? stderrLogger() : checked2(logger);
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
          const bytes = bytesOf(result);
          if (bytes !== void 0) context.bytes = bytes;
          context.result = result;
        });
        ended();
        return result;
      },
      (error) => {
        guarded(() => {
          if (error instanceof SagaStoreError) context.attributes["error.type"] = error.code;
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
      if (this.#isDebugEnabled()) {
        const fields = this.#fields(subject, began);
        const bytes = bytesOf(result);
        if (bytes !== void 0) fields.bytes = bytes;
        this.#log.debug?.(`sagastore ${subject.operation}`, fields);
      }
      return result;
    } catch (reason) {
      const error = toError(reason);
      const level = error instanceof SagaStoreError && error.code === "NOT_FOUND" ? "warn" : "error";
      const write = this.#log[level];
      if (write !== void 0) {
        const fields = this.#fields(subject, began);
        if (error instanceof SagaStoreError) {
          fields.code = error.code;
          fields.retryable = error.retryable;
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
function bytesOf(result) {
  return result instanceof Uint8Array ? result.byteLength : void 0;
}
function addressOf(url) {
  if (!URL.canParse(url)) return {};
  const { protocol, hostname, port, searchParams } = new URL(url);
  const address = {};
  if (protocol === "dynamodb:") {
    if (hostname !== "") address["cloud.region"] = hostname;
    return { ...address, ...addressOf(searchParams.get("endpoint") ?? "") };
  }
  if (hostname !== "") address["server.address"] = hostname;
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
function checked2(logger) {
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
var import_promises4 = require("node:timers/promises");

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
    this.#timer = setTimeout(() => this.#onWake(), ms);
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

// ts/run/conversation.ts
var DONE = -1;
var FAILED = -2;
var IN_TRANSACTION = 1;
var BUFFERED = 2;
var AT_ONCE = 4;
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
    this.#underWay += 1;
    const settled3 = running.then(
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
    return verified === void 0 ? settled3 : Promise.all([settled3, verified]).then(([value]) => value);
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
    const answered = (open2) => {
      if (!open2) throw notOpen(route, operation);
    };
    const refused = (error) => {
      throw toError({ ...this.classify(error), operation });
    };
    return Promise.resolve(isOpen).then(answered, refused);
  }
  /** Two writes of one id are never under way at once: a pool would let them overtake each other. */
  #inOrder(conversation, carrier, ids) {
    let tails = this.#tails.get(carrier);
    if (tails === void 0) {
      tails = /* @__PURE__ */ new Map();
      this.#tails.set(carrier, tails);
    }
    const known3 = tails;
    const before = known3.size === 0 ? [] : ids.flatMap((id) => known3.get(id) ?? []);
    if (before.length === 0) {
      const state = conversation.start();
      if (!("answer" in state)) return settled2(state);
      return keep(known3, ids, (ended) => conversation.wait(state, ended));
    }
    conversation.takeArguments();
    return keep(
      known3,
      ids,
      (ended) => Promise.allSettled(before).then(() => conversation.run()).finally(ended)
    );
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
    const { isTransaction, isBuffered, isSynchronous, isOneServer } = this.#carrier;
    const kind = isBuffered ? BUFFERED | AT_ONCE : isSynchronous ? AT_ONCE : 0;
    const facts = kind | (isTransaction ? IN_TRANSACTION : 0) | (isOneServer ? ONE_SERVER : 0);
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
        return (0, import_promises4.setTimeout)(args[0]);
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

// ts/store/open.ts
function open(backend, args) {
  const { logger, client, getTransaction, requireTransaction, ...rest } = givenBy(args, backend);
  if (getTransaction !== void 0 && typeof getTransaction !== "function") {
    throw invalidArgument("option 'getTransaction' must be a function", "open", backend ?? void 0);
  }
  if (requireTransaction !== void 0 && typeof requireTransaction !== "boolean") {
    throw invalidArgument("option 'requireTransaction' must be true or false", "open", backend ?? void 0);
  }
  const carrier = client === void 0 ? void 0 : clientCarrier5(client, rest.url, backend);
  const json = jsonOf(rest, backend);
  const opened = carrier === void 0 ? native.NativeStore.open(backend, json, realSetImmediate, import_node_worker_threads.isMainThread) : native.NativeStore.openOnClients(carrier.backend, json, realSetImmediate, import_node_worker_threads.isMainThread);
  if (!(opened instanceof native.NativeStore)) throw toError(opened);
  const direct = opened.operations();
  return {
    backend: opened.backend,
    native: opened,
    direct,
    observer: new Observer(opened.backend, opened.url, logger),
    conversations: new Conversations(opened, carrier, direct.makesWay),
    client: carrier,
    getTransaction,
    requiresTransaction: requireTransaction === true
  };
}
function backendOf2(args) {
  const { url, client } = givenBy(args, null);
  if (client !== void 0) return clientCarrier5(client, url, null).backend;
  if (typeof url !== "string" || url === "")
    throw invalidArgument("openStore takes a connection string or options with 'url' or 'client'", "open");
  const backend = native.backendOf(url);
  if (typeof backend !== "string") throw toError(backend);
  return backend;
}
function givenBy([options, ...others], backend) {
  const invalid = (message, cause) => invalidArgument(message, "open", backend ?? void 0, cause);
  if (others.some((other2) => other2 !== void 0)) {
    throw invalid("a store takes one argument: a connection string, or options with 'url' or 'client' among them");
  }
  const given = backend === "memory" ? { url: "memory://" } : {};
  if (options === void 0 && backend === "memory") return given;
  if (typeof options === "string") return { url: options };
  try {
    if (!isRecord(options)) throw invalid("a store takes a connection string or options");
    return { ...given, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== void 0)) };
  } catch (error) {
    throw error instanceof SagaStoreError ? error : invalid("the options cannot be read", error);
  }
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
var import_types5 = require("node:util/types");
var Payloads = class {
  #runner;
  /** @internal */
  constructor(runner) {
    this.#runner = runner;
  }
  /**
   * Stores a payload. Data and expiry of an earlier one are replaced together. Once it has resolved,
   * a `get` of any process sees the payload; if it rejects, do not emit the event. In a transaction
   * the payload is stored when that commits, or not at all.
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
   * The payload.
   *
   * @throws NotFoundError if there is none, or if its time is over
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
    let ids;
    let data;
    let expiresAt;
    try {
      const list = listed(entries);
      ids = list.map((entry) => entry?.id);
      data = list.map((entry) => unshared(entry?.data));
      expiresAt = list.map((entry) => entry?.expiresAt);
    } catch (cause) {
      return this.#refuse("putMany takes an iterable of entries", "putMany", cause);
    }
    return this.#runner.run(OPERATIONS.putMany, ids, data, expiresAt);
  }
  /** The payloads of several ids; an id without one is not in the map. */
  async getMany(ids) {
    let list;
    try {
      list = listed(ids);
    } catch (cause) {
      return this.#refuse("getMany takes an iterable of ids", "getMany", cause);
    }
    const payloads = await this.#runner.run(OPERATIONS.getMany, list);
    const found = /* @__PURE__ */ new Map();
    list.forEach((id, index) => {
      const payload = payloads[index];
      if (payload != null) found.set(id, payload);
    });
    return found;
  }
  #refuse(message, operation, cause) {
    return this.#runner.refuse(invalidArgument(message, operation, this.#runner.backend, cause), operation);
  }
};
function routingSlipIdOf2(options, backend) {
  const { routingSlipId } = optionsOf(options, { routingSlipId: true }, "put", backend);
  if (routingSlipId === void 0 || typeof routingSlipId === "string") return routingSlipId;
  throw invalidArgument("option 'routingSlipId' must be a string", "put", backend);
}
var COPIED_BYTES = 4096;
function unshared(data) {
  if (!(0, import_types5.isUint8Array)(data) || data.byteLength <= COPIED_BYTES) return data;
  const memory = data.buffer;
  return memory.resizable === true || memory instanceof SharedArrayBuffer ? Uint8Array.prototype.slice.call(data) : data;
}

// ts/store/route.ts
var Router = class {
  backend;
  #parts;
  #direct;
  #observer;
  /** Whether only a scope can lead elsewhere than to the store's own connections. */
  #isFree;
  /** Gets whose callers wait. One by itself may be answered on this thread, where that is the quicker way. */
  #gets = 0;
  #answersHere;
  #got = (data) => {
    this.#gets -= 1;
    return data;
  };
  #notGot = (failure) => {
    this.#gets -= 1;
    return raise(failure);
  };
  constructor(parts) {
    this.backend = parts.backend;
    this.#parts = parts;
    this.#direct = parts.direct;
    this.#observer = parts.observer;
    this.#answersHere = parts.native.answersHere;
    this.#isFree = parts.client === void 0 && parts.getTransaction === void 0 && !parts.requiresTransaction;
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
      run: (operation, first, data, expiresAt, routingSlipId) => this.#watched(route, operation, [first, data, expiresAt], routingSlipId),
      refuse: (error, operation) => this.refuse(error, operation)
    };
  }
  refuse(error, operation) {
    const isCoded = error instanceof SagaStoreError;
    return this.#rejected(isCoded ? error : invalidArgument("an argument cannot be read", operation, this.backend, error));
  }
  /** Where operations go that are called here and now; none: to the store's own connections. */
  route(operation) {
    const joined = joinedRoute(this.backend, this);
    if (joined !== void 0) return joined;
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
  #watched(within2, operation, args, routingSlipId) {
    const start = () => this.#start(within2, operation, args);
    return this.#observer.isActive ? this.#observer.watch(subjectOf(operation, args, routingSlipId), start) : start();
  }
  #start(within2, operation, args) {
    let route;
    try {
      route = within2 ?? this.route(operation.name);
      if (route !== void 0) checkRoute(route, operation.name, this.backend);
      if (this.#parts.requiresTransaction) route = this.#required(route, operation);
    } catch (error) {
      return this.#rejected(error);
    }
    const { client, native: native2, conversations } = this.#parts;
    if (route === void 0) return this.#own(operation, ...args);
    if ("carrier" in route && route.unit === void 0) return conversations.run(route, operation, args);
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

// ts/store/transactions.ts
var import_promises8 = require("node:timers/promises");

// ts/store/transaction.ts
var SagaTransaction = class extends Payloads {
  #query;
  /** As `SagaStore.states`: its changes are stored with the transaction, or not at all. */
  states;
  /** @internal */
  constructor(runner, query) {
    super(runner);
    this.#query = query;
    this.states = new SagaStates(runner);
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
var Transactions = class {
  #parts;
  #router;
  #backend;
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
    return observer.isActive ? observer.watch({ operation: "transaction" }, start) : start();
  }
  #isolationOf(work, options) {
    const invalid = (message) => invalidArgument(message, "transaction", this.#backend);
    if (typeof work !== "function") throw invalid("transaction takes a function");
    const { isolation } = optionsOf(options, { isolation: true }, "transaction", this.#backend);
    const levels = this.#parts.native.capabilities.isolation;
    if (isolation === void 0 || levels.includes(isolation)) return isolation;
    throw invalid(`option 'isolation' is ${levels.length === 0 ? `not for ${this.#backend}` : `one of '${levels.join("', '")}'`}`);
  }
  async #transact(work, isolation) {
    const route = this.#router.route("transaction");
    if (route !== void 0 && !("carrier" in route && !route.isJoined)) {
      checkRoute(route, "transaction", this.#backend);
      return await work(this.#transactionOn(route));
    }
    const { native: native2, client, direct } = this.#parts;
    const { retryAttempts, retryBaseMs, retryMaxMs } = native2.settings;
    for (let attempt = 1; ; attempt += 1) {
      try {
        if (client === void 0) return await this.#own(work, isolation);
        const result = await this.#onClient(client, work, isolation);
        if (direct.makesWay()) await turn();
        return result;
      } catch (error) {
        if (direct.makesWay()) await turn();
        const passes = error instanceof SagaStoreError && error.retryable && error.code === "BACKEND";
        if (!passes || attempt >= retryAttempts) throw error;
      }
      await (0, import_promises8.setTimeout)(Math.random() * Math.min(retryMaxMs, retryBaseMs * 2 ** (attempt - 1)));
    }
  }
  async #own(work, isolation) {
    const { native: native2 } = this.#parts;
    const transaction3 = await native2.begin(isolation ?? null).then(void 0, raise);
    let isOver = false;
    const route = { transaction: transaction3, isOver: () => isOver };
    try {
      const result = await this.#worked(route, work);
      isOver = true;
      await native2.commit(transaction3).then(void 0, raise);
      return result;
    } catch (error) {
      isOver = true;
      await native2.rollBack(transaction3).catch(() => void 0);
      throw error;
    }
  }
  async #onClient(client, work, isolation) {
    if (client.takesUnits) return this.#unitOfWork(client, work);
    if (client.begin === void 0) {
      const what = client.isTransaction ? "is a transaction, or may be in one" : "is one connection, which others use too";
      throw this.#unsupported(`the ${client.library} client ${what}: use withTransaction, or a client that can open another`, "transaction");
    }
    let isOver = false;
    let thrown;
    const run4 = async (transaction3) => {
      try {
        const carrier = transactionCarrier(transaction3, "the client's transaction", "transaction");
        return await this.#worked({ carrier, isJoined: true, isOver: () => isOver }, work);
      } catch (error) {
        thrown = { error };
        throw error;
      } finally {
        isOver = true;
      }
    };
    const timeoutMs = this.#parts.native.settings.operationTimeoutMs;
    try {
      return await client.begin(run4, isolation === void 0 ? { timeoutMs } : { isolation, timeoutMs });
    } catch (error) {
      if (thrown !== void 0) throw thrown.error;
      throw error instanceof SagaStoreError ? error : toError(this.#parts.conversations.classify(error));
    }
  }
  /** Collects what `work` does, and sends all of it at the end. */
  async #unitOfWork(client, work) {
    const { native: native2, conversations } = this.#parts;
    const opened = native2.openUnit();
    if ("code" in opened) throw toError(opened);
    let isOver = false;
    const route = { carrier: client, isJoined: true, isOver: () => isOver, unit: new UnitOfWork(opened) };
    try {
      const result = await this.#worked(route, work);
      isOver = true;
      await conversations.run(route, OPERATIONS.transaction, []);
      return result;
    } finally {
      isOver = true;
    }
  }
  /** What `work` comes to in a transaction, unless it takes longer than an operation may. */
  #worked(route, work) {
    const timeoutMs = this.#parts.native.settings.operationTimeoutMs;
    const message = `the transaction was rolled back after operationTimeoutMs (${timeoutMs} ms)`;
    const working = runJoined(this.#backend, this.#router, route, async () => work(this.#transactionOn(route)));
    return within(timeoutMs, working, () => errorOf("TIMEOUT", message, { backend: this.#backend, operation: "transaction" }));
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
    const invalid = (message) => invalidArgument(message, "query", this.#backend);
    if (typeof sql !== "string") throw invalid("query takes a statement as text");
    if (!Array.isArray(values)) throw invalid("query takes its values as an array");
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
  /** @internal */
  constructor(backend, args) {
    const parts = open(backend, args);
    const router = new Router(parts);
    super(router);
    this.backend = parts.backend;
    this.#parts = parts;
    this.#router = router;
    this.#transactions = new Transactions(parts, router);
  }
  /** The state of saga instances: see `SagaStates`. */
  get states() {
    this.#states ??= new SagaStates(this.#router);
    return this.#states;
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
  /**
   * What is stored, the state of the connections, and latencies since the store was opened.
   * Counting reads the whole table (DynamoDB charges for that, as for `purgeExpired`), or on Redis all
   * keys of the database. On a client of the application the connections are not the store's: `pool` is null.
   */
  async statistics() {
    const statistics = await this.#router.run(OPERATIONS.statistics);
    return { backend: this.backend, ...statistics };
  }
  /**
   * Runs `work` in a transaction. What it does through `tx`, or through this store, is stored as a whole
   * when it resolves, and not at all when it rejects. If another transaction got in its way (`retryable`),
   * everything is rolled back and `work` runs again, at most `retry.attempts` times. After `operationTimeoutMs`
   * the transaction is rolled back.
   *
   * Inside another transaction of this store, or of the application (`withTransaction`), it joins that one.
   *
   * @throws TimeoutError if `work` took longer than `operationTimeoutMs`
   * @throws UnsupportedError if the server, or the client that the store was given, has no transactions
   */
  transaction(work, options) {
    return this.#transactions.run(work, options);
  }
  /** Answers what is under way, then lets go of the connections. Safe to call again. */
  async close() {
    await this.#parts.native.close().then(void 0, raise);
    await this.#parts.conversations.ended();
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
  MemorySagaStore,
  MongoSagaStore,
  NotFoundError,
  PayloadTooLargeError,
  PostgresSagaStore,
  RedisSagaStore,
  SagaStates,
  SagaStore,
  SagaStoreError,
  SagaTransaction,
  SerializationError,
  SqliteSagaStore,
  TimeoutError,
  UnsupportedError,
  openStore,
  sagaBusStore,
  withTransaction
});

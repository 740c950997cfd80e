// Generated from ts/ by `npm run build:ts`. Do not edit.
import { Readable, Writable } from 'node:stream';
import { inspect } from 'node:util';

/** What an execution is doing. The last three are terminal: from there nothing leads back, unless `force` says so. */
export type ExecutionStatus = "pending" | "running" | "compensating" | "completed" | "compensated" | "failed";
/** What an entry of the log is about: doing a step, or undoing it. */
export type StepAction = "act" | "compensate";
/** What an entry of the log says of its step. */
export type StepStatus = "pending" | "started" | "completed" | "failed" | "compensated" | "skipped";
/** An execution as it is listed: all but its context and its log. What it does not have is null. */
export interface ExecutionSummary {
	sagaId: string;
	name: string;
	status: ExecutionStatus;
	/** The engine's own word. */
	subStatus: string | null;
	/** JSON, as it was given. */
	metadata: unknown;
	tags: string[];
	/** 1 for a new one. Each change counts it up, but for entries and leases alone. */
	version: number;
	/** How many entries its log has. */
	entries: number;
	/** The bytes of its log. */
	bytes: number;
	/** How often it was claimed since a step was last completed. */
	attempts: number;
	/** Who has it; also when the lease is over, until somebody else takes it. */
	workerId: string | null;
	/** Whether somebody's lease stands: also one that is over, until another worker takes the execution. */
	leased: boolean;
	/** From then on it can be claimed: the end of a lease and its backoff, of a wait, or of a retry. */
	dueAt: Date | null;
	/** Why it failed, or was handed back. */
	lastError: string | null;
	createdAt: Date;
	updatedAt: Date;
	/** When it became terminal. */
	completedAt: Date | null;
	/** When it was set aside, after too many attempts: `redrive` brings it back. */
	parkedAt: Date | null;
}
/** An execution. */
export interface SagaExecution<C = unknown> extends ExecutionSummary {
	/** JSON, as it was given; null, if it has none. */
	context: C;
}
/** An entry of the log that is to be stored. */
export interface StepEntry {
	/** 1 to 255 bytes of UTF-8. */
	stepName: string;
	status: StepStatus;
	/** Default: `compensate` where the status is `compensated`, else `act`. */
	action?: StepAction;
	/** Among the entries of one action and status unique in the execution: a second one is not stored. 1 to 255 bytes of UTF-8. */
	stepId?: string;
	/** Which attempt at the step it is, as the engine counts. */
	attempt?: number;
	/** Which of several parallel branches it belongs to. */
	branch?: string;
	/** JSON. */
	result?: unknown;
	/** An Error (its name, message and code are kept), or JSON. */
	error?: unknown;
	/** Text, or JSON. */
	details?: unknown;
	/** When it happened, if that was not just now. */
	executedAt?: Date;
}
/** An entry of the log. */
export interface SagaLogEntry {
	/** 1, 2, 3…: the order of writing. */
	seq: number;
	stepName: string;
	action: StepAction;
	status: StepStatus;
	stepId?: string;
	attempt?: number;
	branch?: string;
	result?: unknown;
	/** Of an Error `{ name, message, code? }`. */
	error?: unknown;
	details?: unknown;
	executedAt?: Date;
	/** When it was stored, by the server's clock. */
	at: Date;
}
/** A step, as its entries tell. */
export interface SagaStep {
	stepName: string;
	branch?: string;
	/** What its last entry says; `compensated`, once it has been undone. */
	status: StepStatus;
	/** Of the entry that completed it. */
	result?: unknown;
	/** Of its last failure, while that is its status. */
	error?: unknown;
	/** How often it was begun. */
	attempts: number;
	startedAt: Date | null;
	/** When it was completed, failed or skipped. */
	endedAt: Date | null;
	/** How it was undone, or is being undone. */
	compensation: {
		status: StepStatus;
		error?: unknown;
		attempts: number;
		startedAt: Date | null;
		endedAt: Date | null;
	} | null;
}
/** What a new execution may have from the start. */
export interface CreateOptions {
	/** Default `pending`; of `start`: `running`. */
	status?: ExecutionStatus;
	/** The engine's own word: 1 to 255 bytes of UTF-8. */
	subStatus?: string | null;
	/** JSON. */
	metadata?: unknown;
	/** At most eight, of 1 to 64 bytes of UTF-8 each: `list` and `count` can ask for one. */
	tags?: Iterable<string>;
	/** Entries of the log, stored with it: at most 1,000. */
	steps?: Iterable<StepEntry>;
	/** From then on it can be claimed. Default: a running or compensating one at once, a pending one never. */
	dueAt?: Date | null;
}
/** Whose execution it will be, and for how long. */
export interface LeaseOptions {
	/** The worker: 1 to 256 bytes of UTF-8. */
	workerId: string;
	/** How long it is the worker's, in ms: 1 to 604,800,000 (a week). Default 30,000. */
	leaseMs?: number;
	/** Default true. With false it is the worker's to renew it, by `heartbeat` or by what it writes. */
	renew?: boolean;
}
/** Options of `start`. */
export interface StartOptions extends CreateOptions, LeaseOptions {
}
/** What a change may be guarded by. */
export interface GuardOptions {
	/** Another version is `CONCURRENCY_CONFLICT`. */
	expectedVersion?: number;
	/** That of the lease: an outdated one is `LEASE_LOST`. */
	token?: string;
	/** Also without the token of a lease, and from a terminal status. */
	force?: boolean;
}
/** What a checkpoint changes: what is left out stays as it is, null clears. */
export interface CheckpointChange {
	/** JSON. */
	context?: unknown;
	status?: ExecutionStatus;
	subStatus?: string | null;
	/** JSON. */
	metadata?: unknown;
	tags?: Iterable<string>;
	/** Entries that are added to the log: at most 1,000. */
	steps?: Iterable<StepEntry>;
	/** From then on it can be claimed. Not for a leased one: `waitUntil` hands that back until then. */
	dueAt?: Date | null;
	/** Text, an Error (its message is kept), or JSON; at most 8,192 bytes are kept. */
	lastError?: unknown;
	/** The repetition of a change with the same one changes nothing, and answers the same. Only the last one is remembered: an entry of `logStep` in between is one as well. */
	operationId?: string;
}
/** A change with its guards. */
export interface CheckpointOptions extends CheckpointChange, GuardOptions {
}
/** What a checkpoint came to. */
export interface CheckpointResult {
	/** The version that is stored now. */
	version: number;
	/** The number of its first entry; null, if it had none. */
	firstSeq: number | null;
}
/** Options of `updateStatus`. */
export interface StatusOptions extends GuardOptions {
	subStatus?: string | null;
}
/** What `updateStep` says of a step. */
export interface StepUpdate extends Omit<StepEntry, "stepName">, Pick<GuardOptions, "token" | "force"> {
}
/** A whole execution, for `save`. */
export interface SavedExecution {
	sagaId: string;
	name: string;
	status: ExecutionStatus;
	subStatus?: string | null;
	context?: unknown;
	metadata?: unknown;
	tags?: Iterable<string>;
	/** All entries of the log: earlier ones are removed. */
	steps?: Iterable<StepEntry>;
	/** Also where somebody has it, or it has ended. */
	force?: boolean;
}
/** Options of `load` and `find`. */
export interface LoadOptions {
	/** Nobody else changes it before the transaction ends: in transactions of PostgreSQL and SQLite. */
	forUpdate?: boolean;
}
/** Options of `history`. */
export interface HistoryOptions {
	/** The entries behind that one (`reverse`: before it): the cursor of the page before. */
	after?: number;
	/** At most so many: 1 to 1,000. Default 1,000. */
	limit?: number;
	/** No more entries once they have so many bytes; one is always answered. Default 4 MiB. */
	maxBytes?: number;
	/** The latest first. */
	reverse?: boolean;
}
/** A page of the log. */
export interface HistoryPage {
	entries: SagaLogEntry[];
	/** Where the next page begins (`after`); none on the last one. */
	cursor?: number;
}
/** Which executions are meant. */
export interface ExecutionFilter {
	name?: string;
	status?: ExecutionStatus;
	/** Those that have this tag. */
	tag?: string;
	/** Only those that are parked, or only those that are not. */
	parked?: boolean;
}
/** A page of a list. */
export interface PageOptions {
	/** At most so many: 1 to 1,000. Default 100. */
	limit?: number;
	/** That of the page before. */
	cursor?: string;
}
/** Options of `list`. */
export interface ListOptions extends ExecutionFilter, PageOptions {
	/** By the last change (default) or by the creation, the latest first. */
	order?: "updated" | "created";
}
/** One page of `list` and `parked`. */
export interface ExecutionPage {
	items: ExecutionSummary[];
	/** Where the next page begins; none on the last one. */
	cursor?: string;
}
/** What `statistics` of executions answers. */
export interface ExecutionStatistics {
	total: number;
	byStatus: Record<ExecutionStatus, number>;
	parked: number;
	/** Those with a lease, also one that is over, until another worker takes the execution. */
	leased: number;
	/** Of contexts and logs, about. On Redis those that `executionTtlMs` has ended count until `cleanup()` of the store. */
	bytes: number;
	/** The longest that something is due. */
	oldestDueAt: Date | null;
}
/** Options of `cleanup`. */
export interface ExecutionCleanupOptions {
	/** Those that have been terminal for so long, in ms. */
	olderThanMs: number;
	/** Terminal ones. Default: all three. */
	statuses?: Iterable<ExecutionStatus>;
	/** At most so many. Default: all. */
	limit?: number;
}
/** What `claim` gives to whom. */
export interface ExecutionClaimOptions extends LeaseOptions {
	/** At most so many: 1 to 1,000. Default 1. */
	limit?: number;
	/** Only those of these names. */
	names?: Iterable<string>;
	/** Default: running and compensating ones; pending ones have to be asked for. */
	statuses?: Iterable<ExecutionStatus>;
	/** Those that were claimed so often without progress are parked instead. Default 5. */
	maxRecoveryAttempts?: number;
	/** Only those that have not changed for so long, in ms. Default 0. */
	staleAfterMs?: number;
}
/** Options of `findRecoverable`. */
export interface RecoverableOptions {
	/** At most so many: 1 to 1,000. */
	limit: number;
	/** Only those with fewer attempts. Default 5. */
	maxRecoveryAttempts?: number;
	/** Only those that have not changed for so long, in ms. Default 0. */
	staleAfterMs?: number;
	/** Only those of this name. */
	name?: string;
}
/** A lease, as `heartbeat` takes it. A `SagaRun` is one. */
export interface HeldLease {
	readonly sagaId: string;
	readonly token: string;
	readonly leaseMs: number;
}
/** Options of `SagaRun.release`. */
export interface ReleaseOptions {
	/** Not claimable before then. Default: at once; with an `error` after the backoff. */
	retryAt?: Date;
	/** Why: the attempt counts as one that failed. Text, an Error (its message is kept), or JSON. */
	error?: unknown;
}
/** How far an event is. One that failed is `pending` again, until it is a `dead_letter`. */
export type OutboxStatus = "pending" | "claimed" | "sent" | "dead_letter";
/** An event that is to be published. */
export interface NewOutboxEvent<P = unknown> {
	/** 1 to 512 bytes of UTF-8, unique among the events that are stored. Default: a UUIDv7. */
	eventId?: string;
	/** What has happened: 1 to 255 bytes of UTF-8. */
	eventType: string;
	/** JSON, or bytes (a Buffer, any other view of memory, an ArrayBuffer), which come back as a Buffer. */
	payload: P;
	sagaId?: string;
	aggregateType?: string;
	aggregateId?: string;
	/** JSON, at most 64 KiB. */
	headers?: Record<string, unknown>;
	/** Where it is to be published: 1 to 255 bytes of UTF-8. */
	routingKey?: string;
	/** Events of one key are published in the order in which they were stored. */
	partitionKey?: string;
	/** It is not claimed before that. */
	availableAt?: Date;
	/** When it happened. Default: now. */
	occurredAt?: Date;
}
/** An event, as it is stored. What it does not have is left out. */
export interface OutboxEvent<P = unknown> extends NewOutboxEvent<P> {
	eventId: string;
	occurredAt: Date;
	status: OutboxStatus;
	/** When it was stored. */
	createdAt: Date;
	/** When it was claimed, as long as somebody has it. */
	claimedAt?: Date;
	/** When it was acknowledged. */
	sentAt?: Date;
	/** How often it has failed. */
	retryCount: number;
	/** How often a worker was given it and did not hand it back. */
	deliveries: number;
	/** Why it failed the last time. */
	lastError?: string;
	/** Who has it. */
	workerId?: string;
}
/** An event that a worker has, until it acknowledges it, lets it fail or hands it back, or another worker claims it. */
export interface Claim<P = unknown> extends OutboxEvent<P> {
	status: "claimed";
	claimedAt: Date;
	workerId: string;
	/** Says which claim it is of: what becomes of the event is decided with it. */
	readonly token: string;
}
/** What says which claim is meant. */
export type HeldEvent = Pick<Claim, "eventId" | "token">;
/** How events are inserted. */
export interface OutboxInsertOptions {
	/** What happens if the id of an event is taken. `error` (the default): nothing is stored. `ignore`: the others are. */
	onDuplicate?: "error" | "ignore";
	/** Who has the events from the beginning on, as if it had claimed them: what is due, and has nothing of its key before it. */
	claim?: {
		/** 1 to 256 bytes of UTF-8. */
		workerId: string;
		/** Default 300,000. */
		leaseMs?: number;
	};
}
/** Who claims, how many events, and which. */
export interface OutboxClaimOptions {
	/** 1 to 256 bytes of UTF-8. */
	workerId: string;
	/** At most so many, from 1 to 1,000. Default 100. */
	batchSize?: number;
	/** How long nobody else is given them, up to a week. Default 300,000. */
	leaseMs?: number;
	/** Only events of these types; at most 100. */
	eventTypes?: Iterable<string>;
	/** Only events with these routing keys; at most 100. */
	routingKeys?: Iterable<string>;
	/** Only events that were stored so long ago. Default 0. */
	olderThanMs?: number;
}
/** Why an event has failed, and when it comes again. */
export interface OutboxFailOptions {
	/** Why: the message of an Error, text, or JSON. 8 KiB of it are kept. */
	error: unknown;
	/** When it may be claimed again. Default: after a pause that doubles with each failure (`retryBackoffMs`). */
	retryAt?: Date;
}
/** A page of a list. */
export interface OutboxPageOptions {
	/** From 1 to 1,000. Default 100. */
	limit?: number;
	/** Of the page before. */
	cursor?: string;
}
/** A page of a list of events. */
export interface OutboxListOptions extends OutboxPageOptions {
	status?: OutboxStatus;
}
/** The earliest first. The last page has no cursor. */
export interface OutboxPage {
	events: OutboxEvent[];
	cursor?: string;
}
/** Since when a worker has had an event. */
export interface StuckOptions {
	/** Only events that were claimed so long ago. */
	olderThanMs: number;
}
/** Which dead letters; all, if it names nothing. */
export interface DeadLetterFilter {
	eventType?: string;
	routingKey?: string;
	partitionKey?: string;
	sagaId?: string;
	/** Only events that were stored so long ago. */
	olderThanMs?: number;
}
/** Which events are removed. */
export interface OutboxArchiveOptions {
	/** Only events that were sent, or became dead letters, so long ago. */
	olderThanMs: number;
	/** Default `['sent']`. */
	statuses?: Iterable<"sent" | "dead_letter">;
	/** At most so many. Default: all. */
	limit?: number;
}
/** How many events there are. */
export interface OutboxStatistics {
	/** Pending, and due; also those behind others of their key. */
	ready: number;
	/** Somebody has them. */
	claimed: number;
	/** Pending, and not due yet. */
	waiting: number;
	/** Dead letters. */
	dead: number;
	/** Sent, and kept (`retainSentMs`). */
	sent: number;
	/** Partition keys that a dead letter holds up. */
	blockedKeys: number;
	/** How long ago the earliest of those that are ready was stored; null, if there is none. */
	oldestReadyMs: number | null;
}
/** A backend's name. */
export type BackendName = "memory" | "sqlite" | "postgres" | "redis" | "mongodb" | "dynamodb";
/** What a backend can do. */
export interface Capabilities {
	/** Of the backend. `interactive`: reads and writes, then commit or roll back. `buffered`: writes, sent at the end. */
	readonly transactions: "interactive" | "buffered" | "none";
	/** The isolation levels that `transaction` takes. */
	readonly isolation: readonly string[];
	/** Who removes an expired payload: the `server`, or `cleanup()`. It is never returned, either way. */
	readonly expiry: "server" | "cleanup";
	/** The largest payload, in bytes. On DynamoDB, whose limit is that of the whole item, under an id of one byte. */
	readonly maxPayloadBytes: number;
	/** Whether data survives the end of the process. */
	readonly durable: boolean;
	/** Whether several processes can share the data. */
	readonly shared: boolean;
	/** Whether a read that follows a write sees it, whichever server answers. */
	readonly consistentReads: boolean;
}
/** What `health()` answers. */
export interface Health {
	/** `degraded`: it answers, but something limits it (see `message`). */
	status: "healthy" | "degraded" | "unhealthy";
	backend: BackendName;
	/** How long the probe took. */
	latencyMs: number;
	serverVersion?: string;
	/** Why it is not healthy. */
	message?: string;
	details: Record<string, number | string>;
}
/** Latencies of one operation since the store was opened, from the call to the answer. */
export interface OperationStatistics extends Percentiles {
	/** The same of the last five minutes. */
	recent: Percentiles;
}
/** How many operations there were, and how long they took. */
export interface Percentiles {
	count: number;
	/** Those that were rejected; that a payload is not there (`NOT_FOUND`) is an answer. */
	errors: number;
	p50Ms: number;
	p95Ms: number;
	p99Ms: number;
	maxMs: number;
}
/** What `statistics()` answers. */
export interface Statistics {
	backend: BackendName;
	/** Payloads stored, and how many of them have expired but are not removed yet. */
	payloads: {
		count: number;
		bytes: number;
		expired: number;
	};
	/** Saga state, about: an estimate where counting would read everything. null where it cannot be counted. */
	states: {
		count: number;
	} | null;
	/** Executions by status, parked, leased; null where they cannot be counted (tables that were never made). */
	executions: ExecutionStatistics | null;
	/** Events of the outbox: see `outbox.statistics`. null where they cannot be counted. */
	outbox: OutboxStatistics | null;
	/** Connections, where the backend has any; `waiting` are operations not yet sent. */
	pool: {
		open: number;
		idle: number;
		inUse: number;
		waiting: number;
	} | null;
	/** By operation, such as `put`. */
	operations: Record<string, OperationStatistics>;
}
/** What `statistics({ count: false })` answers: nothing of what is stored. */
export type UncountedStatistics = Pick<Statistics, "backend" | "pool" | "operations">;
/** `pg`: a Pool, a Client or a PoolClient. */
export interface PgClient {
	query(text: string, values?: unknown[]): PromiseLike<{
		rows: unknown[];
		rowCount: number | null;
		command: string;
	}>;
	connect(): PromiseLike<unknown>;
	end(): PromiseLike<void>;
}
/** `postgres` (postgres.js): `sql`, or what `sql.begin` and `sql.reserve` give. */
export interface PostgresJsClient {
	unsafe(query: string, parameters?: never[]): PromiseLike<unknown[]>;
	notify(channel: string, payload: string): unknown;
	file: unknown;
	typed: unknown;
}
/** A Prisma client, or the `tx` of an interactive `$transaction`. */
export interface PrismaClientLike {
	$queryRawUnsafe(query: string, ...values: unknown[]): PromiseLike<unknown>;
	$executeRawUnsafe(query: string, ...values: unknown[]): PromiseLike<number>;
}
interface DrizzlePostgresDatabase {
	execute(query: never): PromiseLike<unknown>;
	transaction(work: never, config?: never): PromiseLike<unknown>;
	refreshMaterializedView(view: never): unknown;
}
interface DrizzleSqliteDatabase {
	run(query: never): unknown;
	all(query: never): unknown;
	values(query: never): unknown;
	transaction(work: never, config?: never): unknown;
}
/** Drizzle, on either database. */
export type DrizzleDatabase = DrizzlePostgresDatabase | DrizzleSqliteDatabase;
/** A Kysely instance, or a Transaction of it. */
export interface KyselyDatabase {
	readonly isTransaction: boolean;
	getExecutor(): unknown;
	executeQuery(query: never): PromiseLike<{
		rows: unknown[];
	}>;
	withoutPlugins(): unknown;
}
/** A Knex instance, or a `trx` of it. */
export interface KnexClient {
	client: unknown;
	raw(sql: string): unknown;
	transaction(work: never, config?: never): unknown;
	batchInsert: unknown;
}
/** A `better-sqlite3` handle. */
export interface BetterSqlite3Database {
	readonly inTransaction: boolean;
	prepare(sql: string): unknown;
	transaction(work: never): unknown;
	pragma(source: string): unknown;
}
/** A `node:sqlite` handle. */
export interface NodeSqliteDatabase {
	prepare(sql: string): unknown;
	exec(sql: string): void;
	open(): void;
	close(): void;
}
/** Every client of PostgreSQL that a store can run on. */
export type PostgresClient = PgClient | PostgresJsClient | PrismaClientLike | DrizzlePostgresDatabase | KyselyDatabase | KnexClient;
/** Every client of SQLite that a store can run on. */
export type SqliteClient = BetterSqlite3Database | NodeSqliteDatabase | PrismaClientLike | DrizzleSqliteDatabase | KyselyDatabase | KnexClient;
/** `@aws-sdk/client-dynamodb` (DynamoDBClient, DynamoDB) or `@aws-sdk/lib-dynamodb` (DynamoDBDocumentClient, DynamoDBDocument). */
export interface DynamoDBClientLike {
	readonly config: {
		readonly serviceId: string;
	};
	readonly middlewareStack: object;
	send(command: never, options?: never): unknown;
	destroy(): void;
}
/**
 * A DynamoDB transaction that the application collects and sends itself (`TransactWriteItemsCommand`, or the
 * document client's `TransactWriteCommand`): the array of its `TransactItems`, or an object that has it, such as
 * the command's input. Puts and deletes are added to it, and nothing else is changed.
 */
export type DynamoDBTransactItems = object[] | {
	TransactItems: object[];
	document?: boolean;
};
/** `mongodb`: a MongoClient, whose default database is meant, or a Db. */
export type MongoClientLike = MongoClientShape | MongoDbShape;
interface MongoClientShape {
	db(name?: string): unknown;
	startSession(): unknown;
	close(): unknown;
}
interface MongoDbShape {
	readonly databaseName: string;
	command(command: never, options?: never): unknown;
	collection(name: string): unknown;
}
/** `ioredis`: a Redis or a Cluster. */
export interface IoredisClient {
	readonly status: string;
	readonly isCluster: boolean;
	callBuffer: unknown;
	defineCommand: unknown;
	multi: unknown;
}
/** `redis` (node-redis 5 and later): what createClient, createCluster, createSentinel or createClientPool gives. */
export interface NodeRedisClient {
	sendCommand: unknown;
	withTypeMapping: unknown;
	multi: unknown;
	close: unknown;
}
/** Every client of Redis that a store can run on. */
export type RedisClient = IoredisClient | NodeRedisClient;
declare const OPERATIONS: {
	readonly put: {
		readonly number: 0;
		readonly name: "put";
		readonly kind: "payloads";
		readonly writes: true;
		readonly by: "id";
	};
	readonly get: {
		readonly number: 1;
		readonly name: "get";
		readonly kind: "payloads";
		readonly writes: false;
		readonly by: "id";
	};
	readonly find: {
		readonly number: 2;
		readonly name: "find";
		readonly kind: "payloads";
		readonly writes: false;
		readonly by: "id";
	};
	readonly has: {
		readonly number: 3;
		readonly name: "has";
		readonly kind: "payloads";
		readonly writes: false;
		readonly by: "id";
	};
	readonly delete: {
		readonly number: 4;
		readonly name: "delete";
		readonly kind: "payloads";
		readonly writes: true;
		readonly by: "id";
	};
	readonly touch: {
		readonly number: 5;
		readonly name: "touch";
		readonly kind: "payloads";
		readonly writes: true;
		readonly by: "id";
	};
	readonly putMany: {
		readonly number: 6;
		readonly name: "putMany";
		readonly kind: "payloads";
		readonly writes: true;
		readonly by: "ids";
	};
	readonly getMany: {
		readonly number: 7;
		readonly name: "getMany";
		readonly kind: "payloads";
		readonly writes: false;
		readonly by: "ids";
	};
	readonly "states.getById": {
		readonly number: 8;
		readonly name: "states.getById";
		readonly kind: "states";
		readonly writes: false;
		readonly by: "name_and_id";
	};
	readonly "states.getByCorrelationId": {
		readonly number: 9;
		readonly name: "states.getByCorrelationId";
		readonly kind: "states";
		readonly writes: false;
		readonly by: "name_and_other_id";
	};
	readonly "states.insert": {
		readonly number: 10;
		readonly name: "states.insert";
		readonly kind: "states";
		readonly writes: true;
		readonly by: "name_and_id";
	};
	readonly "states.update": {
		readonly number: 11;
		readonly name: "states.update";
		readonly kind: "states";
		readonly writes: true;
		readonly by: "name_and_id";
	};
	readonly "states.delete": {
		readonly number: 12;
		readonly name: "states.delete";
		readonly kind: "states";
		readonly writes: true;
		readonly by: "name_and_id";
	};
	readonly "states.deleteByCorrelationId": {
		readonly number: 13;
		readonly name: "states.deleteByCorrelationId";
		readonly kind: "states";
		readonly writes: true;
		readonly by: "name_and_other_id";
	};
	readonly "states.findByName": {
		readonly number: 14;
		readonly name: "states.findByName";
		readonly kind: "states";
		readonly writes: false;
		readonly by: null;
	};
	readonly "states.countByName": {
		readonly number: 15;
		readonly name: "states.countByName";
		readonly kind: "states";
		readonly writes: false;
		readonly by: null;
	};
	readonly "states.deleteCompletedBefore": {
		readonly number: 16;
		readonly name: "states.deleteCompletedBefore";
		readonly kind: "states";
		readonly writes: true;
		readonly by: null;
	};
	readonly "states.findTimedOut": {
		readonly number: 17;
		readonly name: "states.findTimedOut";
		readonly kind: "states";
		readonly writes: false;
		readonly by: null;
	};
	readonly "states.claimTimedOut": {
		readonly number: 18;
		readonly name: "states.claimTimedOut";
		readonly kind: "states";
		readonly writes: true;
		readonly by: null;
	};
	readonly "states.names": {
		readonly number: 19;
		readonly name: "states.names";
		readonly kind: "states";
		readonly writes: false;
		readonly by: null;
	};
	readonly "states.findStale": {
		readonly number: 20;
		readonly name: "states.findStale";
		readonly kind: "states";
		readonly writes: false;
		readonly by: null;
	};
	readonly "executions.create": {
		readonly number: 21;
		readonly name: "executions.create";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.start": {
		readonly number: 22;
		readonly name: "executions.start";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.load": {
		readonly number: 23;
		readonly name: "executions.load";
		readonly kind: "executions";
		readonly writes: false;
		readonly by: "id_in_list";
	};
	readonly "executions.find": {
		readonly number: 24;
		readonly name: "executions.find";
		readonly kind: "executions";
		readonly writes: false;
		readonly by: "id_in_list";
	};
	readonly "executions.checkpoint": {
		readonly number: 25;
		readonly name: "executions.checkpoint";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.updateContext": {
		readonly number: 26;
		readonly name: "executions.updateContext";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.updateStatus": {
		readonly number: 27;
		readonly name: "executions.updateStatus";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.logStep": {
		readonly number: 28;
		readonly name: "executions.logStep";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.updateStep": {
		readonly number: 29;
		readonly name: "executions.updateStep";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.complete": {
		readonly number: 30;
		readonly name: "executions.complete";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.compensated": {
		readonly number: 31;
		readonly name: "executions.compensated";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.fail": {
		readonly number: 32;
		readonly name: "executions.fail";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.waitUntil": {
		readonly number: 33;
		readonly name: "executions.waitUntil";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.release": {
		readonly number: 34;
		readonly name: "executions.release";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.incrementRecoveryAttempts": {
		readonly number: 35;
		readonly name: "executions.incrementRecoveryAttempts";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.setRecoveryAttempts": {
		readonly number: 36;
		readonly name: "executions.setRecoveryAttempts";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.history": {
		readonly number: 37;
		readonly name: "executions.history";
		readonly kind: "executions";
		readonly writes: false;
		readonly by: "id_in_list";
	};
	readonly "executions.save": {
		readonly number: 38;
		readonly name: "executions.save";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.delete": {
		readonly number: 39;
		readonly name: "executions.delete";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "executions.list": {
		readonly number: 40;
		readonly name: "executions.list";
		readonly kind: "executions";
		readonly writes: false;
		readonly by: null;
	};
	readonly "executions.count": {
		readonly number: 41;
		readonly name: "executions.count";
		readonly kind: "executions";
		readonly writes: false;
		readonly by: null;
	};
	readonly "executions.statistics": {
		readonly number: 42;
		readonly name: "executions.statistics";
		readonly kind: "executions";
		readonly writes: false;
		readonly by: null;
	};
	readonly "executions.cleanup": {
		readonly number: 43;
		readonly name: "executions.cleanup";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: null;
	};
	readonly "executions.claim": {
		readonly number: 44;
		readonly name: "executions.claim";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: null;
	};
	readonly "executions.heartbeat": {
		readonly number: 45;
		readonly name: "executions.heartbeat";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: null;
	};
	readonly "executions.redrive": {
		readonly number: 46;
		readonly name: "executions.redrive";
		readonly kind: "executions";
		readonly writes: true;
		readonly by: null;
	};
	readonly "executions.findRecoverable": {
		readonly number: 47;
		readonly name: "executions.findRecoverable";
		readonly kind: "executions";
		readonly writes: false;
		readonly by: null;
	};
	readonly "outbox.insert": {
		readonly number: 48;
		readonly name: "outbox.insert";
		readonly kind: "outbox";
		readonly writes: true;
		readonly by: null;
	};
	readonly "outbox.get": {
		readonly number: 49;
		readonly name: "outbox.get";
		readonly kind: "outbox";
		readonly writes: false;
		readonly by: "id_in_list";
	};
	readonly "outbox.list": {
		readonly number: 50;
		readonly name: "outbox.list";
		readonly kind: "outbox";
		readonly writes: false;
		readonly by: null;
	};
	readonly "outbox.count": {
		readonly number: 51;
		readonly name: "outbox.count";
		readonly kind: "outbox";
		readonly writes: false;
		readonly by: null;
	};
	readonly "outbox.claim": {
		readonly number: 52;
		readonly name: "outbox.claim";
		readonly kind: "outbox";
		readonly writes: true;
		readonly by: null;
	};
	readonly "outbox.ack": {
		readonly number: 53;
		readonly name: "outbox.ack";
		readonly kind: "outbox";
		readonly writes: true;
		readonly by: null;
	};
	readonly "outbox.fail": {
		readonly number: 54;
		readonly name: "outbox.fail";
		readonly kind: "outbox";
		readonly writes: true;
		readonly by: null;
	};
	readonly "outbox.release": {
		readonly number: 55;
		readonly name: "outbox.release";
		readonly kind: "outbox";
		readonly writes: true;
		readonly by: null;
	};
	readonly "outbox.extend": {
		readonly number: 56;
		readonly name: "outbox.extend";
		readonly kind: "outbox";
		readonly writes: true;
		readonly by: null;
	};
	readonly "outbox.updateStatus": {
		readonly number: 57;
		readonly name: "outbox.updateStatus";
		readonly kind: "outbox";
		readonly writes: true;
		readonly by: "id_in_list";
	};
	readonly "outbox.findStuck": {
		readonly number: 58;
		readonly name: "outbox.findStuck";
		readonly kind: "outbox";
		readonly writes: false;
		readonly by: null;
	};
	readonly "outbox.releaseStuck": {
		readonly number: 59;
		readonly name: "outbox.releaseStuck";
		readonly kind: "outbox";
		readonly writes: true;
		readonly by: null;
	};
	readonly "outbox.requeue": {
		readonly number: 60;
		readonly name: "outbox.requeue";
		readonly kind: "outbox";
		readonly writes: true;
		readonly by: null;
	};
	readonly "outbox.discard": {
		readonly number: 61;
		readonly name: "outbox.discard";
		readonly kind: "outbox";
		readonly writes: true;
		readonly by: null;
	};
	readonly "outbox.blockedKeys": {
		readonly number: 62;
		readonly name: "outbox.blockedKeys";
		readonly kind: "outbox";
		readonly writes: false;
		readonly by: null;
	};
	readonly "outbox.archive": {
		readonly number: 63;
		readonly name: "outbox.archive";
		readonly kind: "outbox";
		readonly writes: true;
		readonly by: null;
	};
	readonly "outbox.statistics": {
		readonly number: 64;
		readonly name: "outbox.statistics";
		readonly kind: "outbox";
		readonly writes: false;
		readonly by: null;
	};
	readonly "inbox.accept": {
		readonly number: 65;
		readonly name: "inbox.accept";
		readonly kind: "inbox";
		readonly writes: true;
		readonly by: "name_and_id";
	};
	readonly "inbox.has": {
		readonly number: 66;
		readonly name: "inbox.has";
		readonly kind: "inbox";
		readonly writes: false;
		readonly by: "name_and_id";
	};
	readonly "inbox.forget": {
		readonly number: 67;
		readonly name: "inbox.forget";
		readonly kind: "inbox";
		readonly writes: true;
		readonly by: "name_and_id";
	};
	readonly "inbox.cleanup": {
		readonly number: 68;
		readonly name: "inbox.cleanup";
		readonly kind: "inbox";
		readonly writes: true;
		readonly by: null;
	};
	readonly scan: {
		readonly number: 69;
		readonly name: "scan";
		readonly kind: "moving";
		readonly writes: false;
		readonly by: null;
	};
	readonly fetch: {
		readonly number: 70;
		readonly name: "fetch";
		readonly kind: "moving";
		readonly writes: false;
		readonly by: null;
	};
	readonly count: {
		readonly number: 71;
		readonly name: "count";
		readonly kind: "moving";
		readonly writes: false;
		readonly by: null;
	};
	readonly list: {
		readonly number: 72;
		readonly name: "list";
		readonly kind: "moving";
		readonly writes: false;
		readonly by: null;
	};
	readonly stat: {
		readonly number: 73;
		readonly name: "stat";
		readonly kind: "moving";
		readonly writes: false;
		readonly by: "id_in_list";
	};
	readonly importRecords: {
		readonly number: 74;
		readonly name: "importRecords";
		readonly kind: "moving";
		readonly writes: true;
		readonly by: null;
	};
	readonly initialize: {
		readonly number: 1000;
		readonly name: "initialize";
		readonly kind: "store";
		readonly writes: true;
		readonly by: null;
	};
	readonly purgeExpired: {
		readonly number: 1001;
		readonly name: "purgeExpired";
		readonly kind: "store";
		readonly writes: true;
		readonly by: null;
	};
	readonly health: {
		readonly number: 1002;
		readonly name: "health";
		readonly kind: "store";
		readonly writes: false;
		readonly by: null;
	};
	readonly statistics: {
		readonly number: 1003;
		readonly name: "statistics";
		readonly kind: "store";
		readonly writes: false;
		readonly by: null;
	};
	readonly transaction: {
		readonly number: 1004;
		readonly name: "transaction";
		readonly kind: "store";
		readonly writes: true;
		readonly by: null;
	};
	readonly "states.reindex": {
		readonly number: 1005;
		readonly name: "states.reindex";
		readonly kind: "store";
		readonly writes: true;
		readonly by: null;
	};
};
type Operation = (typeof OPERATIONS)[keyof typeof OPERATIONS];
interface Wait {
	readonly ended: Promise<boolean>;
	/** Ends it. */
	end(isRung: boolean): void;
}
declare class Bell {
	#private;
	/** @param listen resolves when other processes may have inserted events since it was called the last time */
	constructor(listen?: () => Promise<void>);
	/** How often it has rung. */
	get count(): number;
	/** There may be new events. */
	ring(): void;
	/** There may be new events soon: somebody else is about to commit them. */
	ringSoon(): void;
	/** Waits until it has rung more than `since` times, at most so long. */
	wait(since: number, ms: number): Wait;
}
interface EventKeeper {
	/**
	 * Renews the lease of events of one claim. Resolves with the ids of those whose lease is lost, while the others go on
	 * to be renewed: it is called again with them. Resolves with none once none is to be renewed any more.
	 */
	keepEvents(token: string, ids: string[], leaseMs: number): Promise<string[]>;
	unkeepEvents(token: string, ids: string[]): void;
}
interface EventHolder {
	/** The lease of these is lost. */
	lost(ids: readonly string[]): void;
	/** Somebody has said what became of these through the store. `isBack`: they are pending again, and so is what stands behind them. */
	settled?(ids: readonly string[], isBack: boolean): void;
}
declare class EventLeases {
	#private;
	constructor(keeper: EventKeeper);
	/** Renews the lease of events that were claimed just now, until `unkeep`, or until their holder was told of them. */
	keep(token: string, ids: readonly string[], leaseMs: number, holder: EventHolder): void;
	/** Renews the lease of these no more. */
	unkeep(token: string, ids: readonly string[]): void;
	/** What has become of events was stored: whoever holds them is told. */
	settled(held: readonly (readonly [
		eventId: string,
		token: string
	])[], isBack: boolean): void;
}
interface OutboxSupport {
	/** What runs operations in no transaction, whoever calls it. */
	apart(): Runner;
	/** Wakes whoever waits for events. */
	readonly bell: Bell;
	readonly leases: EventLeases;
	/** How often an event is tried again before it is a dead letter. */
	readonly maxRetries: number;
	/** Whether this is a transaction's. */
	readonly isInTransaction: boolean;
	/**
	 * Calls `done` once what is done here and now is stored for good. False: it is about to be, and when is not known.
	 */
	whenStored(done: (isStored: boolean) => void): void;
	/** Runs work that outlives the transaction in which it is begun. */
	detached<T>(work: () => T): T;
	/** Tells the store's logger. */
	warn(operation: string, message: string): void;
}
interface Runner {
	readonly backend: BackendName;
	/** How long one call may take. */
	readonly operationTimeoutMs: number;
	/** Runs an operation with these arguments; it rejects with errors of this package. */
	run<T>(operation: Operation, first?: unknown, data?: unknown, expiresAt?: unknown, routingSlipId?: string): Promise<T>;
	/** A rejection of what is found out before anything runs. What reading the arguments has thrown is `INVALID_ARGUMENT`. */
	refuse(error: unknown, operation: string): Promise<never>;
	/** What executions need besides. */
	readonly executions: ExecutionSupport;
	/** What the outbox needs besides. */
	readonly outbox: OutboxSupport;
}
interface ExecutionSupport {
	/** Runs operations as the store itself does: in no transaction but one that the caller is in then. */
	readonly outside: Runner;
	/** The limits of a log. */
	readonly maxHistoryEntries: number;
	readonly maxHistoryBytes: number;
	/** Renews a lease by itself, until `unkeep`. Resolves with why it was lost, or with null after `unkeep`. */
	keep(lease: HeldLease): Promise<string | null>;
	unkeep(lease: HeldLease): void;
	/**
	 * Where operations join a transaction here and now: has `undo` called if that does not happen. How a transaction of
	 * the option `getTransaction` ends is not known here.
	 */
	onRollback(undo: () => void): void;
	/** Tells the store's logger. */
	warn(operation: string, message: string): void;
}
/** The kinds of records that a store keeps. */
export type RecordKind = "payloads" | "states" | "executions" | "outbox" | "inbox";
/** A payload, as it is stored. */
export interface PayloadRecord {
	/** The claim id. */
	id: string;
	/** Its bytes, as they are stored: one that was compressed is compressed. */
	data: Uint8Array;
	expiresAt?: Date;
}
interface PayloadSize {
	/** The claim id. */
	id: string;
	/** How many bytes are stored: of a compressed one, so many as it has compressed. */
	bytes: number;
	expiresAt?: Date;
}
/** A saga's state, as it is stored. */
export interface StateRecord {
	sagaName: string;
	sagaId: string;
	correlationId: string;
	version: number;
	isCompleted: boolean;
	createdAt: Date;
	updatedAt: Date;
	/** When it ended first. */
	completedAt?: Date;
	timeoutAt?: Date;
	expiresAt?: Date;
	/** The whole state, JSON. */
	state: string;
}
/**
 * An entry of an execution's log, as it is stored: number, step, action, status, step id, details, JSON of all else,
 * time.
 */
export type StoredEntry = [
	seq: number,
	stepName: string,
	action: string,
	status: string,
	stepId: string | null,
	details: string | null,
	body: string | null,
	at: Date
];
/** An execution with its whole log, as it is stored. */
export interface ExecutionRecord {
	sagaId: string;
	name: string;
	status: string;
	subStatus?: string;
	/** JSON. */
	context?: string;
	/** JSON. */
	metadata?: string;
	tags: string[];
	version: number;
	/** Of the lease; empty: it was leased, and nobody has it now. */
	token?: string;
	workerId?: string;
	/** When it may be claimed; of one that is leased, when the lease is over. */
	dueAt?: Date;
	attempts: number;
	lastError?: string;
	/** The last change, by which its repetition is known. */
	lastOperation?: {
		id: string;
		version: number;
		firstSeq?: number;
	};
	createdAt: Date;
	updatedAt: Date;
	completedAt?: Date;
	parkedAt?: Date;
	expiresAt?: Date;
	entries: StoredEntry[];
}
/** An event, as it is stored. */
export interface EventRecord {
	eventId: string;
	eventType: string;
	/** JSON as text, or bytes. */
	payload: string | Uint8Array;
	sagaId?: string;
	aggregateType?: string;
	aggregateId?: string;
	/** JSON. */
	headers?: string;
	routingKey?: string;
	partitionKey?: string;
	availableAt?: Date;
	occurredAt: Date;
	/** Of the insertion. */
	operation: string;
	status: string;
	createdAt: Date;
	claimedAt?: Date;
	sentAt?: Date;
	deadAt?: Date;
	retryCount: number;
	deliveries: number;
	lastError?: string;
	workerId?: string;
	/** Of the claim. */
	token?: string;
	leaseUntil?: Date;
	/** When it may be claimed, if not at once. */
	dueAt?: Date;
	expiresAt?: Date;
}
/** An entry of the inbox, as it is stored. */
export interface InboxRecord {
	consumer: string;
	messageId: string;
	operation: string;
	expiresAt: Date;
}
/** The records of each kind. */
export interface RecordsOfKinds {
	payloads: PayloadRecord;
	states: StateRecord;
	executions: ExecutionRecord;
	outbox: EventRecord;
	inbox: InboxRecord;
}
/** What becomes of a record whose id the target has already. */
export type OnConflict = "skip-existing" | "overwrite" | "fail" | "newer";
type RecordKey = string | [
	name: string,
	id: string
];
type Fate = "stored" | "skipped" | "expired" | {
	code: string;
	message: string;
	retryable: boolean;
};
interface ScanOptions {
	/** What the page before ended with. */
	after?: string;
	/** Records in a page, at most 1,000. A page may have fewer, also none, although it is not the last. */
	limit: number;
	/** Bytes in a page, about; one record may be more. Default 8 MiB. */
	maxBytes?: number;
}
interface RecordPage<R> {
	records: R[];
	/** Keys of what cannot be read, and why. */
	unreadable: [
		key: string,
		why: string
	][];
	/** What the next page begins behind; null: that was all. */
	cursor: string | null;
}
declare class Records {
	#private;
	readonly backend: BackendName;
	constructor(runner: Runner);
	/** A page of what is stored of a kind, also of what has expired and is still there. */
	scan<K extends RecordKind>(kind: K, { after, limit, maxBytes }: ScanOptions): Promise<RecordPage<RecordsOfKinds[K]>>;
	/** A page of payloads without their bytes. */
	sizes({ after, limit }: ScanOptions): Promise<RecordPage<PayloadSize>>;
	/**
	 * All pages of a kind.
	 *
	 * @param check called before each of them: what it throws ends the reading
	 */
	pages<K extends RecordKind>(kind: K, check?: () => void): AsyncGenerator<RecordPage<RecordsOfKinds[K]>>;
	/** All pages of payloads without their bytes. */
	pagesOfSizes(check?: () => void): AsyncGenerator<RecordPage<PayloadSize>>;
	/** The records of at most 1,000 keys, in their order; null where there is none. */
	fetch<K extends RecordKind>(kind: K, keys: readonly RecordKey[]): Promise<(RecordsOfKinds[K] | null)[]>;
	/** How many there are, also of those that have expired and are still there. */
	count(kind: RecordKind): Promise<{
		count: number;
		approximate: boolean;
	}>;
	/** Stores at most 1,000 records as they are; the fate of each in their order. */
	importRecords<K extends RecordKind>(kind: K, records: readonly RecordsOfKinds[K][], onConflict: OnConflict): Promise<Fate[]>;
}
/** What has become of records. `transferred`, `failed`, `skipped` and `expired` together are all that were looked at. */
export interface KindCounts {
	/** Stored in the target, which has acknowledged it. */
	transferred: number;
	/** Could not be moved: see `onRejected`. */
	failed: number;
	/** Left alone, because of `onConflict`. */
	skipped: number;
	/** Their time was over: they are not moved. */
	expired: number;
	/** Bytes of those that were transferred, about. */
	bytes: number;
}
/** The counts of each kind that is moved. */
export type MovedCounts = {
	[Kind in RecordKind]?: KindCounts;
};
/** A record that could not be moved. */
export interface RejectedRecord {
	kind: RecordKind;
	/** Its claim id, saga id, event id or message id. */
	id: string;
	/** Of saga state its name, of an entry of the inbox its consumer. */
	name?: string;
	/** Why: such as `PAYLOAD_TOO_LARGE`. */
	code: string;
	message: string;
}
/** Is told each record that could not be moved. The move waits for its promise. */
export type OnRejected = (rejected: RejectedRecord) => void | Promise<void>;
/** How fast a move may be, and how it is stopped. */
export interface PaceOptions {
	/** At most so many records a second. */
	recordsPerSecond?: number;
	/** At most so many bytes a second, about. */
	bytesPerSecond?: number;
	/** Stops the move: batches that are under way end, then it rejects with a checkpoint. */
	signal?: AbortSignal;
}
/** Options of `transfer`. */
export interface TransferOptions extends PaceOptions {
	/** What is moved. Default: everything. */
	kinds?: Iterable<RecordKind>;
	/** Records that are read and written together: 1 to 1,000. Default 500. */
	batchSize?: number;
	/** Batches that are written at once: 1 to 32. Default 4. Events are written one batch after the other. */
	concurrency?: number;
	/**
	 * What becomes of a record that cannot be moved. `fail` (default) ends the move. `skip` counts it as failed, and goes
	 * on. `retry` tries again for a while whatever may pass by itself, and then ends the move.
	 */
	onError?: "fail" | "skip" | "retry";
	/**
	 * What becomes of a record whose id the target has: it stays as it is there (`skip-existing`, default), is replaced
	 * (`overwrite`, or `newer`: if the record is the newer one), or the record has failed (`fail`).
	 */
	onConflict?: OnConflict;
	onRejected?: OnRejected;
	/** A checkpoint of the same move: it goes on behind it. */
	resumeFrom?: string;
	/** Compares both sides at the end. What is missing or different makes the move fail; what the target has besides does not. */
	verify?: boolean;
	/**
	 * Writes nothing: reads the source and tells what the target could not take. All such records are told, as with `skip`.
	 * Whether ids are taken is not looked at.
	 */
	dryRun?: boolean;
}
/** How far a move is. */
export interface TransferProgress extends KindCounts {
	/** What is being moved. */
	kind: RecordKind;
	/** How many records of this kind there are, as far as is known. */
	total: number;
	/** Whether `total` is an estimate. */
	approximate: boolean;
	/** Since the move began, or was resumed. */
	elapsedMs: number;
	/** Of this kind: 0 to 100. */
	percentComplete: number;
	/** Of this kind, since it began. */
	recordsPerSecond: number;
	/** Of this kind, as far as can be told; null: it cannot. */
	etaMs: number | null;
	/** Where to go on: `resumeFrom`. The target has acknowledged everything before it. */
	checkpoint: string;
}
/** What a move came to. */
export interface TransferResult extends KindCounts {
	/** The same for each kind. */
	counts: MovedCounts;
	elapsedMs: number;
	/** The last one. */
	checkpoint: string;
	dryRun: boolean;
	/** With `verify`. */
	verification?: Verification;
}
/** Something that is in the way of a move. */
export interface TransferIssue {
	/** An `error` makes the move fail; a `warning` may. */
	level: "error" | "warning";
	kind?: RecordKind;
	code: string;
	message: string;
}
/** What `validate` found. */
export interface TransferValidation {
	/** There is no issue that is an error. */
	compatible: boolean;
	issues: TransferIssue[];
}
/** Options of `verify`. */
export interface VerifyOptions {
	/** What is compared. Default: everything. */
	kinds?: Iterable<RecordKind>;
	/** Which part of the records is compared: above 0, up to 1 (default). Which ones is decided by their ids. */
	sample?: number;
	/** Stops it. */
	signal?: AbortSignal;
}
/** A record that is not the same on both sides. */
export interface Difference {
	kind: RecordKind;
	id: string;
	/** Of saga state its name, of an entry of the inbox its consumer. */
	name?: string;
	/** `unreadable`: one side cannot read it. */
	what: "missing" | "extra" | "bytes" | "expiry" | "version" | "unreadable";
}
/** What `verify` found. */
export interface Verification {
	/** Nothing is missing, extra, different, or unreadable. */
	equal: boolean;
	/** Records that are the same on both sides. */
	same: number;
	/** In the source alone. */
	missing: number;
	/** In the target alone. */
	extra: number;
	/**
	 * On both sides, and not the same. Each counts once: `bytes` (content: of a payload, a state, a context, a log, an
	 * event), else `expiry`, else `version` (everything else: versions, dates, statuses, leases, and so on).
	 */
	different: {
		bytes: number;
		expiry: number;
		version: number;
	};
	/** Records that one side cannot read. */
	unreadable: number;
	/** The first of those that are not the same, at most 1,000. */
	ids: Difference[];
}
/** Every reason for which an operation can be rejected. */
export type SagaStoreErrorCode = "NOT_FOUND" | "ALREADY_EXISTS" | "CONCURRENCY_CONFLICT" | "PAYLOAD_TOO_LARGE" | "ALREADY_EXPIRED" | "INVALID_ARGUMENT" | "CONNECTION" | "TIMEOUT" | "SERIALIZATION" | "CORRUPT_DATA" | "UNSUPPORTED" | "LEASE_LOST" | "INVALID_STATE" | "CLOSED" | "TRANSFER" | "BACKEND";
interface Failure {
	code: SagaStoreErrorCode;
	message: string;
	backend?: string;
	operation?: string;
	id?: string;
	retryable: boolean;
	causes: string[];
	details: Record<string, number | string>;
	/** What a client of the application threw: the cause itself, in place of `causes`. */
	cause?: unknown;
}
/** What every rejection is an instance of. Its stack reaches the caller's `await`. */
export declare class SagaStoreError extends Error {
	/** The type that `instanceof` narrows to (TypeScript 5.3): all classes of this one, so that `code` tells them apart. */
	static readonly [Symbol.hasInstance]: <C extends {
		readonly prototype: unknown;
	}>(this: C, value: unknown) => value is Extract<AnySagaStoreError, C["prototype"]>;
	/** What went wrong. */
	readonly code: SagaStoreErrorCode;
	/** Such as `postgres`, once known. */
	readonly backend?: string;
	/** The operation that failed, such as `put`. */
	readonly operation?: string;
	/** The record, where there is one. */
	readonly id?: string;
	/** Whether the same call may succeed later. */
	readonly retryable: boolean;
	/** How often it was tried, where that was more than once. */
	readonly attempts?: number;
	/** @internal The store makes them. */
	constructor(failure: Failure);
}
/** `NOT_FOUND`: no record has this id, or it has expired. */
export declare class NotFoundError extends SagaStoreError {
	readonly code: "NOT_FOUND";
	/** Of a payload that has expired and is still there: when it ceased to exist. */
	readonly expiredAt?: Date;
}
/** `ALREADY_EXISTS`: the saga id, the correlation id or the event id is taken, or a message was accepted before. */
export declare class AlreadyExistsError extends SagaStoreError {
	readonly code: "ALREADY_EXISTS";
	/** Of saga state. */
	readonly sagaName?: string;
	/** Where it is the saga id that is taken. */
	readonly sagaId?: string;
	/** Where it is the correlation id that is taken. */
	readonly correlationId?: string;
}
/** `CONCURRENCY_CONFLICT`: another update came between. */
export declare class ConcurrencyError extends SagaStoreError {
	readonly code: "CONCURRENCY_CONFLICT";
	/** Of saga state. */
	readonly sagaName?: string;
	readonly sagaId: string;
	readonly expectedVersion: number;
	/** The version that is stored. */
	readonly actualVersion: number;
}
/** `SERIALIZATION`: a state that JSON cannot keep. */
export declare class SerializationError extends SagaStoreError {
	readonly code: "SERIALIZATION";
	/** What of it: such as `order.items[2].price`. */
	readonly path: string;
}
/** `PAYLOAD_TOO_LARGE`: refused before anything was sent; the log of an execution, before anything was stored. */
export declare class PayloadTooLargeError extends SagaStoreError {
	readonly code: "PAYLOAD_TOO_LARGE";
	/** The payload's bytes. */
	readonly size: number;
	/** The bytes that the backend, or `maxPayloadBytes`, allows. */
	readonly limit: number;
}
/** `ALREADY_EXPIRED`: `expiresAt` has passed and `lateRetentionMs` is 0. */
export declare class AlreadyExpiredError extends SagaStoreError {
	readonly code: "ALREADY_EXPIRED";
}
/** `INVALID_ARGUMENT`: the input is wrong; the message says what is accepted. */
export declare class InvalidArgumentError extends SagaStoreError {
	readonly code: "INVALID_ARGUMENT";
}
/** `CONNECTION`: the server cannot be reached or refuses the login, or the connection broke. */
export declare class ConnectionError extends SagaStoreError {
	readonly code: "CONNECTION";
}
/** `TIMEOUT`: no answer within `operationTimeoutMs`. A write may or may not have happened. */
export declare class TimeoutError extends SagaStoreError {
	readonly code: "TIMEOUT";
}
/** `CORRUPT_DATA`: what is stored cannot be read. */
export declare class CorruptDataError extends SagaStoreError {
	readonly code: "CORRUPT_DATA";
	/** Of a list of sagas: those that cannot be read, this one among them. */
	readonly corrupt?: readonly CorruptSaga[];
	/** Of a list of sagas: what would have been answered without them (a page with its cursor, or sagas). Not enumerable. */
	readonly found?: unknown;
}
/** A saga that is stored and cannot be read. */
export interface CorruptSaga {
	sagaName: string;
	sagaId: string;
	error: CorruptDataError;
}
/** `UNSUPPORTED`: this backend, or this version of its server, cannot do it. */
export declare class UnsupportedError extends SagaStoreError {
	readonly code: "UNSUPPORTED";
}
/** `LEASE_LOST`: another worker has the execution or the event (`id`), or its lease was ended. Stop working on it. */
export declare class LeaseLostError extends SagaStoreError {
	readonly code: "LEASE_LOST";
	/** Of the outbox: the ids of the events, all that were given. */
	readonly lost?: readonly string[];
}
/** `INVALID_STATE`: the execution has ended, and nothing leads back from there without `force`; an event has been sent. */
export declare class InvalidStateError extends SagaStoreError {
	readonly code: "INVALID_STATE";
	/** The status of the execution that is stored. */
	readonly status: ExecutionStatus;
}
/** `CLOSED`: the store has been closed. */
export declare class ClosedError extends SagaStoreError {
	readonly code: "CLOSED";
}
/**
 * `TRANSFER`: a move that did not end well. Records could not be moved, or what is on both sides is not the same, or the
 * move was stopped, or the checkpoint is one of another move.
 */
export declare class TransferError extends SagaStoreError {
	readonly code: "TRANSFER";
	/** What has become of the records of each kind, up to here. */
	readonly counts: MovedCounts;
	/** Where to go on: `resumeFrom`. Files have none. */
	readonly checkpoint?: string;
	/** The first of the records that could not be moved, at most 100. */
	readonly rejected: readonly RejectedRecord[];
	/** With `verify`: what it has found. */
	readonly verification?: Verification;
}
/**
 * Every error of a store, told apart by `code`: where it is `CONCURRENCY_CONFLICT`, `error.expectedVersion` is there.
 * `error instanceof SagaStoreError` narrows to it.
 */
export type AnySagaStoreError = NotFoundError | AlreadyExistsError | ConcurrencyError | SerializationError | PayloadTooLargeError | AlreadyExpiredError | InvalidArgumentError | ConnectionError | TimeoutError | CorruptDataError | UnsupportedError | LeaseLostError | InvalidStateError | ClosedError | TransferError | (SagaStoreError & {
	readonly code: "BACKEND";
});
/** A record as it is stored, and its kind. */
export type ExportedRecord<K extends RecordKind = RecordKind> = {
	[Kind in K]: {
		kind: Kind;
	} & RecordsOfKinds[Kind];
}[K];
/** Options of `exportAll`. */
export interface ExportOptions {
	/** Is told each record that cannot be read. Without it the first one ends the export with `CORRUPT_DATA`. */
	onUnreadable?: (unreadable: RejectedRecord) => void | Promise<void>;
	/** Ends the export. */
	signal?: AbortSignal;
}
/** Options of `exportAll` of a store. */
export interface ExportAllOptions extends ExportOptions {
	/** What is exported. Default: everything. */
	kinds?: Iterable<RecordKind>;
}
/** Options of `importRecords`. */
export interface ImportOptions {
	/** As in a `transfer`. Default: `skip-existing`. */
	onConflict?: OnConflict;
	/** Is told each record that could not be stored. */
	onRejected?: OnRejected;
}
/** Records, as they come. */
export type Given<R> = Iterable<R> | AsyncIterable<R>;
/** How many records there are; `approximate`: it is an estimate. Those that have expired and are still stored count, too. */
export type RecordCounts = {
	[Kind in RecordKind]?: {
		count: number;
		approximate: boolean;
	};
};
/** What a run may change: not when it is due, for that is the end of its lease. */
export type RunChange = Omit<CheckpointChange, "dueAt"> & Pick<GuardOptions, "expectedVersion">;
/**
 * An execution that one worker has: `start` and `claim` give it. All that is written through it has the token of its
 * lease: once another worker has the execution, it is `LEASE_LOST`. The lease is renewed by itself, from a third of its
 * time on (unless `renew` is false), until the run has ended, or is let go of (`release`, `await using`), or has been garbage-collected.
 *
 * It writes through the store. One that was made in a transaction can be used there, and when that has been
 * committed; nobody else sees it before. Commit within a third of `leaseMs`: then it is renewed for the first time.
 */
export declare class SagaRun<C = unknown> implements AsyncDisposable {
	#private;
	readonly sagaId: string;
	readonly name: string;
	/** Of this lease, and of no other one. */
	readonly token: string;
	readonly workerId: string;
	/** How long the lease lasts if it is not renewed, in ms. */
	readonly leaseMs: number;
	/** How often the execution was claimed since a step was last completed, this time included; 0 after `start`. */
	readonly attempt: number;
	private constructor();
	/** Aborted when the lease is lost, with the `LEASE_LOST` error as its reason: stop working on the saga then. */
	get signal(): AbortSignal;
	/** The version that was last stored. */
	get version(): number;
	/** The status that was last stored. */
	get status(): ExecutionStatus;
	/** The context that was last stored: a value of the run's own, null if there is none. */
	get context(): C;
	/**
	 * Changes status, context, tags and so on, and adds entries to the log: all of it or nothing. Where less than half of
	 * the lease is left, it is renewed by the way.
	 *
	 * @throws LeaseLostError if another worker has the execution, or it was ended
	 * @throws ConcurrencyError if `expectedVersion` is given, and it is another one
	 * @throws InvalidStateError, NotFoundError, PayloadTooLargeError, SerializationError
	 */
	checkpoint(change: RunChange): Promise<CheckpointResult>;
	/** Replaces the context. Answers the version. */
	updateContext(context: C): Promise<number>;
	/** Changes the status, and the engine's own word. Answers the version. */
	updateStatus(status: ExecutionStatus, subStatus?: string | null): Promise<number>;
	/** Adds an entry to the log. The version stays. Answers the entry's number. */
	logStep(stepName: string, action: StepAction, status: StepStatus, details?: unknown): Promise<number>;
	/** Adds an entry to the log, with a result or an error. The version stays. Answers the entry's number. */
	updateStep(stepName: string, update: Omit<StepEntry, "stepName">): Promise<number>;
	/** A page of the log. See `SagaExecutions.history`. */
	history(options?: HistoryOptions): Promise<HistoryPage>;
	/** The steps, as the log tells. It reads all of the log, page by page. */
	steps(): Promise<SagaStep[]>;
	/** Ends it: all steps are done. The lease ends with it. */
	complete(context?: C): Promise<void>;
	/** Ends it: what was done is undone. The lease ends with it. */
	compensated(context?: C): Promise<void>;
	/** Ends it as failed, for good. The lease ends with it. What may go better the next time is a `release` with an error. */
	fail(error: unknown): Promise<void>;
	/** Lets go of it, and nobody can claim it before that time. It does not count as an attempt. */
	waitUntil(date: Date): Promise<void>;
	/** Hands it back, for another worker. It does not count as an attempt, unless an `error` is given: then the backoff comes first. */
	release(options?: ReleaseOptions): Promise<void>;
	/** `await using run = …`: hands it back, unless it has ended or was lost. With `requireTransaction` only inside of a transaction. */
	[Symbol.asyncDispose](): Promise<void>;
	/** @internal What a heartbeat found out. */
	lose(): void;
}
/**
 * Executions of sagas: status, context, every step in order, and who is working on it. A saga id has 1 to 512 bytes of
 * UTF-8 and is unique in the store; a name has 1 to 128. Statuses go `pending`, `running`, `compensating`, and end with
 * `completed`, `compensated` or `failed` (terminal: nothing leads back from there).
 *
 * Every change is judged in this order: `NOT_FOUND`, `LEASE_LOST`, `INVALID_STATE`, `CONCURRENCY_CONFLICT`,
 * `PAYLOAD_TOO_LARGE`. What is refused leaves nothing behind. An execution that was ever leased takes changes only with
 * the token of its lease (which a `SagaRun` has), or with `force`.
 */
export declare class SagaExecutions {
	#private;
	/** @internal */
	constructor(runner: Runner);
	/**
	 * Stores a new execution. Nobody has it. Answers its version, 1.
	 *
	 * @param context JSON; none, if left out
	 * @throws AlreadyExistsError if the saga id is taken
	 * @throws SerializationError if something of it cannot be kept as JSON: `path` says what
	 */
	create(sagaId: string, name: string, context?: unknown, options?: CreateOptions): Promise<number>;
	/**
	 * The execution, with its context; its log is read by `history` and `steps`.
	 *
	 * @param options `forUpdate`: in a transaction of PostgreSQL or SQLite, nobody else changes it before the end of that
	 * @throws NotFoundError if there is none
	 */
	load<C = unknown>(sagaId: string, options?: LoadOptions): Promise<SagaExecution<C>>;
	/** The execution, or null. */
	find<C = unknown>(sagaId: string, options?: LoadOptions): Promise<SagaExecution<C> | null>;
	/**
	 * Changes status, context, tags and so on, and adds entries to the log: all of it or nothing, in one round trip.
	 * Without `context` the context is not written again: let results of steps live in their entries.
	 *
	 * @throws NotFoundError, LeaseLostError, InvalidStateError, PayloadTooLargeError, SerializationError
	 * @throws ConcurrencyError if the version is not `expectedVersion`: it has the `actualVersion`
	 */
	checkpoint(sagaId: string, change: CheckpointOptions): Promise<CheckpointResult>;
	/**
	 * Replaces the context. Answers the version.
	 *
	 * @param guard the version that is expected, or more guards
	 * @throws ConcurrencyError, NotFoundError, LeaseLostError, SerializationError
	 */
	updateContext(sagaId: string, context: unknown, guard?: number | GuardOptions): Promise<number>;
	/**
	 * Changes the status. Answers the version.
	 *
	 * @throws InvalidStateError if it is terminal, and the new status is another one
	 * @throws ConcurrencyError, NotFoundError, LeaseLostError
	 */
	updateStatus(sagaId: string, status: ExecutionStatus, options?: StatusOptions): Promise<number>;
	/**
	 * Adds an entry to the log. The version stays. Answers the entry's number.
	 *
	 * @param details text, or JSON
	 */
	logStep(sagaId: string, stepName: string, action: StepAction, status: StepStatus, details?: unknown): Promise<number>;
	/**
	 * Says what has become of a step: adds an entry to the log, with a result or an error. The version stays.
	 * Answers the entry's number.
	 */
	updateStep(sagaId: string, stepName: string, update: StepUpdate): Promise<number>;
	/**
	 * A page of the log, in the order of writing. Give its cursor as `after` to get the next one; the last page has none.
	 *
	 * @throws NotFoundError if there is no such execution
	 */
	history(sagaId: string, options?: HistoryOptions): Promise<HistoryPage>;
	/** The steps, as the log tells: of each its status, result, error, attempts and times. It reads all of the log, page by page. */
	steps(sagaId: string): Promise<SagaStep[]>;
	/**
	 * Inserts an execution, or replaces one as a whole, its log included. `createdAt` stays.
	 *
	 * @throws LeaseLostError if it was ever leased, without `force`
	 */
	save(execution: SavedExecution): Promise<CheckpointResult>;
	/** Removes an execution and its log, whoever has it. Whether there was one. */
	delete(sagaId: string): Promise<boolean>;
	/** Executions without their contexts, the latest change (or creation) first, in pages. The last page has no cursor. */
	list(options?: ListOptions): Promise<ExecutionPage>;
	/** Those that were claimed too often without progress, in pages, the latest change first: `redrive` brings them back. */
	parked(options?: PageOptions): Promise<ExecutionPage>;
	/** How many there are. */
	count(filter?: ExecutionFilter): Promise<number>;
	/** How many there are, by status; how many are parked and leased; the bytes of contexts and logs, about. */
	statistics(): Promise<ExecutionStatistics>;
	/**
	 * Removes executions that have been terminal for `olderThanMs`, with all that belongs to them, in batches of at most
	 * 1,000. Answers how many. What was removed stays removed where a later batch fails.
	 */
	cleanup(options: ExecutionCleanupOptions): Promise<number>;
	/**
	 * Creates an execution that one worker has from the start, in one write: nobody can claim it before its lease is over.
	 *
	 * @throws AlreadyExistsError if the saga id is taken
	 */
	start<C = unknown>(sagaId: string, name: string, context: C | undefined, options: StartOptions): Promise<SagaRun<C>>;
	/**
	 * Gives executions that are due to one worker, the longest due first: those whose worker has died (its lease is over,
	 * and so is the backoff), that were handed back, and whose `dueAt` has come. Two claimers never get the same one. Each
	 * claim counts as an attempt; an execution that had `maxRecoveryAttempts` without progress is parked, and the next
	 * one is looked at.
	 *
	 * @throws UnsupportedError in a transaction that is only sent at its end (Redis, DynamoDB)
	 */
	claim<C = unknown>(options: ExecutionClaimOptions): Promise<SagaRun<C>[]>;
	/**
	 * Renews leases now, by their own times, and tells which of them are lost; the signals of lost runs are aborted. Runs
	 * are renewed by themselves: this is for those who want to know.
	 */
	heartbeat(runs: Iterable<HeldLease>): Promise<{
		lost: string[];
	}>;
	/**
	 * Brings parked executions back: they are due at once. Answers how many were parked.
	 *
	 * @param options `resetAttempts` (default true): they have all attempts again; else only a claim with a higher
	 *   `maxRecoveryAttempts` takes them
	 */
	redrive(sagaIds: Iterable<string>, options?: {
		resetAttempts?: boolean;
	}): Promise<number>;
	/** Ids of running and compensating executions with attempts left, the oldest change first. It only looks: two callers get the same. */
	findRecoverable(options: RecoverableOptions): Promise<string[]>;
	/** Counts an attempt, and sets another status if one is given: for engines without leases. */
	incrementRecoveryAttempts(sagaId: string, newStatus?: ExecutionStatus): Promise<void>;
	/** Sets the number of attempts: for engines without leases. It does not bring a parked one back: `redrive` does. */
	setRecoveryAttempts(sagaId: string, attempts: number): Promise<void>;
	/**
	 * All executions with their logs as they are stored, one by one, page by page behind the scenes: whole records for `importRecords` of another
	 * store. What has expired is left out; what is stored meanwhile may be left out. Nothing is blocked.
	 *
	 * @throws CorruptDataError if one cannot be read, without `onUnreadable`
	 */
	exportAll(options?: ExportOptions): AsyncIterableIterator<ExportedRecord<"executions">>;
	/**
	 * Stores executions with their logs as they are: versions, dates, and all else. What has expired is counted, and not stored.
	 *
	 * @throws TransferError if one of them could not be stored: all others are
	 */
	importRecords(records: Given<ExecutionRecord | ExportedRecord<"executions">>, options?: ImportOptions): Promise<KindCounts>;
}
/** What `cqrsSagaStorage` takes: a store, or a transaction of one. */
export interface ExecutionStore {
	readonly executions: SagaExecutions;
	readonly capabilities?: {
		readonly transactions: string;
	};
	/** Runs the work in a transaction of the store. */
	transaction?<T>(work: (tx: {
		readonly executions: SagaExecutions;
	}) => Promise<T>): Promise<T>;
}
/** An entry of the log, as python-cqrs has it. */
export interface CqrsLogEntry {
	sagaId: string;
	stepName: string;
	action: StepAction;
	status: StepStatus;
	timestamp: Date;
	details: string | null;
}
/** What a storage and a run of it have in common. */
export interface CqrsSagaOperations {
	/** Stores a saga that has not begun. `ALREADY_EXISTS` if its id is taken. */
	createSaga(sagaId: string, name: string, context: object): Promise<void>;
	/** With `currentVersion` only if that is stored: else `CONCURRENCY_CONFLICT`. */
	updateContext(sagaId: string, context: object, currentVersion?: number): Promise<void>;
	/** Sets its status. One that has ended stays as it is: `INVALID_STATE`. */
	updateStatus(sagaId: string, status: ExecutionStatus): Promise<void>;
	/** Adds an entry to its log. */
	logStep(sagaId: string, stepName: string, action: StepAction, status: StepStatus, details?: string | null): Promise<void>;
	/** Status, context, version. */
	loadSagaState<C = unknown>(sagaId: string, options?: {
		readForUpdate?: boolean;
	}): Promise<[
		status: ExecutionStatus,
		context: C,
		version: number
	]>;
	/** The oldest first; empty, if there is no such saga. */
	getStepHistory(sagaId: string): Promise<CqrsLogEntry[]>;
}
/** What python-cqrs' engine takes for a storage, in camel case. */
export interface CqrsSagaStorage extends CqrsSagaOperations {
	/** Ids of sagas to recover. Another job may be given the same ones. */
	getSagasForRecovery(limit: number, maxRecoveryAttempts?: number, staleAfterSeconds?: number, sagaName?: string): Promise<string[]>;
	/** Counts an attempt, and sets the status if one is given. */
	incrementRecoveryAttempts(sagaId: string, newStatus?: ExecutionStatus): Promise<void>;
	/** Sets the number of attempts. */
	setRecoveryAttempts(sagaId: string, attempts: number): Promise<void>;
	/** A run whose changes are stored by `commit`: those of one saga in one write, and those of several in one transaction. */
	createRun(): CqrsSagaRun;
}
/** What happens between two commits. Its own reads see it; nobody else does before. */
export interface CqrsSagaRun extends CqrsSagaOperations, AsyncDisposable {
	/** Stores what has been changed since the last commit. It counts one version. If it fails, it can be called again. */
	commit(): Promise<void>;
	/** Forgets it. So does the end of an `await using` block. */
	rollback(): Promise<void>;
}
/**
 * Executions as a storage of python-cqrs (`ISagaStorage`), for engines that are written like its own. Statuses, actions
 * and names of steps are the same. Where that engine would set back a saga that has ended, this one refuses
 * (`INVALID_STATE`). It knows no leases: a saga that `start` or `claim` has given to a worker takes no change of it.
 *
 * @param store a store, or the transaction that `store.transaction` gives
 */
export declare function cqrsSagaStorage(store: ExecutionStore): CqrsSagaStorage;
interface OutboxCounter {
	claim<P>(options: OutboxClaimOptions): Promise<Claim<P>[]>;
	ack(claims: readonly HeldEvent[]): Promise<{
		lost: string[];
	}>;
	fail(claim: HeldEvent, options: {
		error: unknown;
	}): Promise<unknown>;
	release(claims: readonly HeldEvent[]): Promise<unknown>;
}
interface FeedTerms {
	workerId: string;
	batchSize: number;
	leaseMs: number;
	eventTypes: string[] | undefined;
	routingKeys: string[] | undefined;
	/** The longest pause between two looks while nothing is there. */
	pollMs: number;
}
/** Publishes an event. What it returns is waited for: then the event is acknowledged. If it throws, the event has failed. */
export type OutboxHandler<P = unknown> = (event: Claim<P>, context: OutboxContext) => unknown;
/** What a handler is told beside the event. */
export interface OutboxContext {
	/** Aborted when the lease of the event is lost, or the relay is stopped by its own `signal`: somebody else may publish it. */
	readonly signal: AbortSignal;
}
/** What a relay has done so far. */
export interface RelayStatistics {
	/** Events that it was given. */
	claimed: number;
	acked: number;
	failed: number;
	/** Events that another worker has been given, or somebody has decided about, before it could say what became of them. */
	lost: number;
	/** Events that it has handed back. */
	released: number;
	/** Handlers that are running. */
	inFlight: number;
}
/**
 * A worker that claims events and has a handler publish them, until it is stopped. It holds at most `concurrency` events
 * and one batch ahead. Events of one partition key are handled one after the other, in order. The leases of what it
 * holds are renewed.
 */
export declare class OutboxRelay<P = unknown> {
	#private;
	readonly workerId: string;
	/** Ready when it has stopped. Rejected only if it can never claim anything. */
	readonly done: Promise<void>;
	/** @internal */
	constructor(counter: OutboxCounter, support: OutboxSupport, handler: OutboxHandler<P>, terms: FeedTerms & {
		concurrency: number;
		signal: AbortSignal | undefined;
	});
	/** What it has done so far. */
	get stats(): RelayStatistics;
	/**
	 * Takes no more events, waits for the handlers that run, acknowledges what they have done, and hands the rest back. Safe
	 * to call again.
	 *
	 * @param options `timeoutMs`: handlers that run longer have their signals aborted, and their events are handed back
	 */
	stop(options?: {
		timeoutMs?: number;
	}): Promise<void>;
	/** `await using relay = store.outbox.relay(...)` */
	[Symbol.asyncDispose](): Promise<void>;
}
/** Events as they come, pulled one by one. What was given and not settled is handed back at the end. */
export declare class OutboxSubscription<P = unknown> implements AsyncIterableIterator<Claim<P>> {
	#private;
	/** @internal */
	constructor(counter: OutboxCounter, support: OutboxSupport, terms: FeedTerms & {
		signal: AbortSignal | undefined;
	});
	/** `for await (const event of subscription)` */
	[Symbol.asyncIterator](): this;
	/** The next event, once there is one. */
	next(): Promise<IteratorResult<Claim<P>>>;
	/** Ends it, and hands back what it has given and what nobody has settled. */
	return(): Promise<IteratorResult<Claim<P>>>;
	/** `await using`: it ends as by `return`. */
	[Symbol.asyncDispose](): Promise<void>;
}
/** Of `outbox.subscribe`. */
export interface SubscribeOptions {
	/** 1 to 256 bytes of UTF-8. Default: the name of the host, the process id and something random. */
	workerId?: string;
	/** Events that are claimed at once, from 1 to 1,000. Default 100. */
	batchSize?: number;
	/** How long nobody else is given an event after this process has died, up to a week. It is renewed. Default 60,000. */
	leaseMs?: number;
	/** Only events of these types; at most 100. */
	eventTypes?: Iterable<string>;
	/** Only events with these routing keys; at most 100. */
	routingKeys?: Iterable<string>;
	/** The longest pause between two looks while there is nothing and nobody rings, in ms, up to an hour. Default 1,000. */
	pollMs?: number;
	/** Stops it. */
	signal?: AbortSignal;
}
/** Of `outbox.relay`. */
export interface RelayOptions extends SubscribeOptions {
	/** Handlers that run at once, from 1 to 10,000. Default 1. */
	concurrency?: number;
}
/**
 * Events that are stored with the data that they tell of, and published afterwards: at least once, and in the order of
 * their keys where they have one.
 *
 * An event is `pending`; a worker claims it (`claimed`), publishes it and acknowledges it (`sent`, and removed, unless
 * `retainSentMs` says otherwise). What fails is pending again after a pause, and a `dead_letter` after `maxRetries`.
 */
export declare class SagaOutbox {
	#private;
	/** @internal */
	constructor(runner: Runner);
	/** How often an event is tried again before it is a dead letter (option `outbox.maxRetries`). */
	get maxRetries(): number;
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
	insert<P = unknown>(events: NewOutboxEvent<P> | Iterable<NewOutboxEvent<P>>, options?: OutboxInsertOptions): Promise<Claim<P>[]>;
	/** The event, whatever has become of it; null, if there is none (any more). */
	get<P = unknown>(eventId: string): Promise<OutboxEvent<P> | null>;
	/** Events of a saga, in pages, the earliest first. */
	bySaga(sagaId: string, options?: OutboxPageOptions): Promise<OutboxPage>;
	/** Events, in pages, the earliest first. */
	list(options?: OutboxListOptions): Promise<OutboxPage>;
	/** Events that nobody tries to publish any more, in pages: `requeue` brings them back, `discard` removes them. */
	deadLetters(options?: OutboxPageOptions): Promise<OutboxPage>;
	/** How many events are pending, those among them that wait for their time. */
	pendingCount(): Promise<number>;
	/**
	 * Gives events that are due to one worker, in the order in which they were stored. Nobody else is given them for
	 * `leaseMs`. Of the events of one `partitionKey`, one is given only if all before it are sent, or are given here, too.
	 *
	 * An event that is stored and cannot be read fails at once, and is not answered.
	 *
	 * @throws UnsupportedError in a transaction that is only sent at its end (Redis, DynamoDB)
	 */
	claim<P = unknown>(options: OutboxClaimOptions): Promise<Claim<P>[]>;
	/**
	 * Says that events are published: they are `sent`, and removed, unless `retainSentMs` keeps them. What another worker
	 * has been given meanwhile is `lost`, and stays as it is. An acknowledgement that is late, and that nobody has
	 * overtaken, counts.
	 *
	 * @throws LeaseLostError if all of them are lost: `lost` has their ids
	 */
	ack(claims: HeldEvent | Iterable<HeldEvent>): Promise<{
		acked: number;
		lost: string[];
	}>;
	/**
	 * Says that events could not be published: they are pending again after a pause, or dead letters after `maxRetries`.
	 * Of the events of one `partitionKey` in a claim only the first one fails; those behind it are handed back, and are
	 * `lost` to their worker.
	 *
	 * @throws LeaseLostError if all of them are lost: `lost` has their ids
	 */
	fail(claims: HeldEvent | Iterable<HeldEvent>, options: OutboxFailOptions): Promise<{
		failed: number;
		lost: string[];
	}>;
	/**
	 * Hands events back: they are pending at once, and were not delivered. Those of the same `partitionKey` that stand
	 * behind them in their claim are handed back, too.
	 *
	 * @throws LeaseLostError if all of them are lost: `lost` has their ids
	 */
	release(claims: HeldEvent | Iterable<HeldEvent>): Promise<{
		released: number;
		lost: string[];
	}>;
	/**
	 * Lets leases last for `leaseMs` from now on.
	 *
	 * @throws LeaseLostError if all of them are lost: `lost` has their ids
	 */
	extend(claims: HeldEvent | Iterable<HeldEvent>, leaseMs: number): Promise<{
		extended: number;
		lost: string[];
	}>;
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
	relay<P = unknown>(handler: OutboxHandler<P>, options?: RelayOptions): OutboxRelay<P>;
	/**
	 * Claims events as they come, and gives them one by one: `for await (const event of store.outbox.subscribe())`. Whoever
	 * publishes an event says so by `ack`, `fail` or `release`. Until then its lease is renewed. The end of the loop hands
	 * back whatever was not settled; so does the `signal`.
	 *
	 * @throws InvalidArgumentError if an option is wrong
	 * @throws UnsupportedError in a transaction
	 */
	subscribe<P = unknown>(options?: SubscribeOptions): OutboxSubscription<P>;
	/** Events that somebody has had for so long, the earliest first; at most `limit` (default 100). */
	findStuck(options: StuckOptions & {
		limit?: number;
	}): Promise<OutboxEvent[]>;
	/**
	 * Takes events back from workers that have had them for so long: they are pending at once. The claims of those workers
	 * are lost, and count as deliveries. Answers how many.
	 */
	releaseStuck(options: StuckOptions): Promise<number>;
	/**
	 * Brings dead letters back: they are pending in their old places, with no failures and no deliveries. Answers how many
	 * of the events were dead letters.
	 *
	 * @param which ids, or which dead letters; `{}` is all of them
	 */
	requeue(which: Iterable<string> | DeadLetterFilter): Promise<number>;
	/** Removes dead letters: they are never published. Answers how many of the events were dead letters. */
	discard(ids: Iterable<string>): Promise<number>;
	/** Partition keys whose events wait behind a dead letter; none, where `onDeadLetter` is `skip`. At most `limit` (default 1,000). */
	blockedKeys(options?: {
		limit?: number;
	}): Promise<string[]>;
	/**
	 * Removes events that were sent, or became dead letters, so long ago, in batches of at most 1,000. Answers how many.
	 * What was removed stays removed where a later batch fails.
	 */
	archive(options: OutboxArchiveOptions): Promise<number>;
	/**
	 * Decides about an event, whoever has it: it is pending at once, sent, has failed once more, or is a dead letter.
	 *
	 * @param error why, for `failed` and `dead_letter`
	 * @throws NotFoundError if there is none
	 * @throws InvalidStateError if it is sent
	 */
	updateStatus(eventId: string, status: "pending" | "sent" | "failed" | "dead_letter", error?: unknown): Promise<void>;
	/** How many events there are. */
	statistics(): Promise<OutboxStatistics>;
	/**
	 * All events as they are stored, one by one, page by page behind the scenes: whole records for `importRecords` of another
	 * store. What has expired is left out; what is stored meanwhile may be left out. Nothing is blocked.
	 *
	 * @throws CorruptDataError if one cannot be read, without `onUnreadable`
	 */
	exportAll(options?: ExportOptions): AsyncIterableIterator<ExportedRecord<"outbox">>;
	/**
	 * Stores events as they are: versions, dates, and all else. What has expired is counted, and not stored.
	 *
	 * @throws TransferError if one of them could not be stored: all others are
	 */
	importRecords(records: Given<EventRecord | ExportedRecord<"outbox">>, options?: ImportOptions): Promise<KindCounts>;
	/** How many events there are; about, where counting would read everything. */
	count(): Promise<number>;
}
/** The interface of a saga engine's claim check; every store class implements it. */
export interface SagaStoreAdapter {
	/** Stores a payload until `expiresAt`. */
	put(id: string, data: Buffer, expiresAt: Date): Promise<void>;
	/** The payload; rejects if there is none. */
	get(id: string): Promise<Buffer>;
	/** Removes expired payloads where the backend does not do it by itself. */
	cleanup?(): Promise<void>;
	/** Creates what the store needs in the backend. */
	initialize?(): Promise<void>;
}
/** Anything with these four methods: `console`, pino, winston. */
export interface Logger {
	/** Operations that have succeeded, conflicts, ids that are taken. */
	debug(...args: never[]): void;
	/** Nothing so far. */
	info(...args: never[]): void;
	/** What was not found, slow operations, late puts, what `initialize` finds lacking. */
	warn(...args: never[]): void;
	/** Every other failure. */
	error(...args: never[]): void;
}
/** Options that every store has. Unknown ones are refused. */
export interface StoreOptions {
	/**
	 * Names the tables, collections or key prefixes of every kind of record: 1 to 32 small letters, digits and
	 * underscores, starting with a letter. With `orders`, payloads are in `orders_payloads` and sagas in `orders_sagas`
	 * (on Redis under `orders:payloads:` and `orders:sagas:`), executions in `orders_executions` and `orders_log`, events
	 * in `orders_outbox`, and accepted messages in `orders_inbox`. An option that names one of them alone goes before it.
	 * Default: the names that the single options have by default.
	 */
	namespace?: string;
	/** Where the operations are told to: `console`, a pino logger, or anything with the four methods. */
	logger?: Logger;
	/** An operation on records that takes as long, in ms, is told to the logger at `warn`. Default 1,000; with 0 none is. */
	slowMs?: number;
	/** How long a payload whose `expiresAt` had passed at the put is kept, in ms. Default 3,600,000; with 0 such a put is refused. */
	lateRetentionMs?: number;
	/** Larger payloads are refused; what counts is what is stored, compressed or not. Default: what the backend can hold. */
	maxPayloadBytes?: number;
	/**
	 * Payloads are compressed off the event loop, behind a header that says so; `'zstd'` is `{ algorithm: 'zstd' }`.
	 * What is compressed can be read whatever this option is, and so can what is not. Default `'none'`.
	 */
	compression?: "zstd" | "none" | CompressionOptions;
	/** A stored payload that would be larger when it is decompressed is refused. Default 256 MiB. */
	maxDecompressedBytes?: number;
	/** The longest that a promise stays pending, in ms. Default 30,000. */
	operationTimeoutMs?: number;
	/** The longest that reaching the server may take, in ms. Default 5,000. */
	connectTimeoutMs?: number;
	/** Repetition of operations that failed in a way that may pass, and that may be repeated. */
	retry?: RetryOptions;
	/** How long a saga that has ended is kept after its last change, in ms. Default 0: as `defaultTtlMs` says. */
	completedTtlMs?: number;
	/** How long a saga is kept after its last change, in ms. Default 0: until it is deleted. */
	defaultTtlMs?: number;
	/** How long an execution that has ended is kept, in ms. Default 0: until it is deleted or cleaned up. */
	executionTtlMs?: number;
	/** The pause after the first attempt at an execution that failed, in ms; each further one doubles it, up to five minutes. Default 1,000. */
	recoveryBackoffMs?: number;
	/** More entries than that are refused in the log of one execution. Default 10,000. */
	maxHistoryEntries?: number;
	/** More bytes than that are refused in the log of one execution. Default 50 MiB. */
	maxHistoryBytes?: number;
	/** What holds for `store.outbox`. */
	outbox?: OutboxOptions;
	/**
	 * The store calls it at each operation. It answers the transaction of the application that the operation joins, for
	 * example from an AsyncLocalStorage, or `undefined` for none. See `withTransaction` for what may be a transaction.
	 */
	getTransaction?: () => unknown;
	/**
	 * Operations on payloads, sagas, executions, outbox and inbox outside of any transaction are `INVALID_ARGUMENT`; without this option they run by
	 * themselves. `initialize`, `cleanup`, `purgeExpired`, `health` and `statistics` need none. Default false.
	 */
	requireTransaction?: boolean;
}
/** What holds for the outbox of a store. Stores on the same data should agree. */
export interface OutboxOptions {
	/** An event that has failed more often is a dead letter. Default 10. */
	maxRetries?: number;
	/** An event that was given to workers so often, none of which answered, is a dead letter. Default 20. */
	maxDeliveries?: number;
	/** The pause after the first failure, in ms, ±10 %; each further one doubles it, up to five minutes. Default 1,000. */
	retryBackoffMs?: number;
	/** Whether a dead letter blocks the events of its `partitionKey` behind it, or lets them pass. Default `block`. */
	onDeadLetter?: "block" | "skip";
	/** How long events are kept that were sent, in ms. Default 0: they are removed when they are acknowledged. */
	retainSentMs?: number;
	/** How long dead letters are kept, in ms. Default 0: until they are requeued, discarded or archived. */
	retainDeadMs?: number;
	/**
	 * When other processes are told of new events (PostgreSQL). `commit`: by the process that inserted them, after the
	 * commit. `transaction`: by the transaction itself, also when the process ends then; such commits wait for one
	 * another on the whole server. Default `commit`.
	 */
	notify?: "commit" | "transaction";
}
/** How payloads are compressed. */
export interface CompressionOptions {
	/** Zstandard (RFC 8878), or nothing. */
	algorithm?: "zstd" | "none";
	/** 1 (fast) to 19 (small). Default 1. */
	level?: number;
	/** Smaller payloads stay as they are, and so does what does not shrink. Default 1,024. */
	minBytes?: number;
}
/** Full jitter: the pause is a random part of `baseMs * 2^n`, at most `maxMs`. */
export interface RetryOptions {
	/** Attempts in all. Default 3. */
	attempts?: number;
	/** Default 50. */
	baseMs?: number;
	/** Default 2,000. */
	maxMs?: number;
}
/** Options of a memory store. */
export interface MemoryStoreOptions extends StoreOptions {
	/** `memory://` (private, the default) or `memory://name` (shared by all stores of that name in the process). */
	url?: string;
}
/** Options of an SQLite store: on connections of its own, or on a client of the application. */
export type SqliteStoreOptions = SqliteUrlOptions | SqliteClientOptions;
/** Options of an SQLite store on connections of its own. */
export interface SqliteUrlOptions extends StoreOptions {
	/** `sqlite:///absolute.db`, `sqlite:relative.db` or `sqlite::memory:`. */
	url: string;
	/** Letters, digits and underscores. Default `saga_store`. */
	tableName?: string;
	/** The table of sagas. Default `saga_instances`. */
	statesTableName?: string;
	/** The table of executions. Default `saga_executions`. */
	executionsTableName?: string;
	/** The table of their logs. Default `saga_logs`. */
	logTableName?: string;
	/** The table of events; those that were sent and are kept are in the same with `_kept` behind its name. Default `saga_outbox`. */
	outboxTableName?: string;
	/** The table of accepted messages. Default `saga_inbox`. */
	inboxTableName?: string;
	/** `full` (the default): a resolved put survives a power cut. `normal`: it survives the end of the process. */
	durability?: "full" | "normal";
}
/** Options of an SQLite store on a client of the application. */
export interface SqliteClientOptions extends StoreOptions {
	/** A handle of better-sqlite3 or node:sqlite, or Prisma, Drizzle, Kysely or Knex on SQLite. */
	client: SqliteClient;
	/** Letters, digits and underscores. Default `saga_store`. */
	tableName?: string;
	/** The table of sagas. Default `saga_instances`. */
	statesTableName?: string;
	/** The table of executions. Default `saga_executions`. */
	executionsTableName?: string;
	/** The table of their logs. Default `saga_logs`. */
	logTableName?: string;
	/** The table of events; those that were sent and are kept are in the same with `_kept` behind its name. Default `saga_outbox`. */
	outboxTableName?: string;
	/** The table of accepted messages. Default `saga_inbox`. */
	inboxTableName?: string;
}
/** Options of a PostgreSQL store: on connections of its own, or on a client of the application. */
export type PostgresStoreOptions = PostgresUrlOptions | PostgresClientOptions;
/** Options of a PostgreSQL store on a client of the application. */
export interface PostgresClientOptions extends StoreOptions {
	/** pg (Pool, Client, PoolClient), postgres.js, or Prisma, Drizzle, Kysely or Knex on PostgreSQL. */
	client: PostgresClient;
	/** Default: the connection's search path. */
	schema?: string;
	/** Letters, digits and underscores. Default `saga_store`. */
	tableName?: string;
	/** The table of sagas. Default `saga_instances`. */
	statesTableName?: string;
	/** The table of executions. Default `saga_executions`. */
	executionsTableName?: string;
	/** The table of their logs. Default `saga_logs`. */
	logTableName?: string;
	/** The table of events; those that were sent and are kept are in the same with `_kept` behind its name. Default `saga_outbox`. */
	outboxTableName?: string;
	/** The table of accepted messages. Default `saga_inbox`. */
	inboxTableName?: string;
}
/** Options of a PostgreSQL store on connections of its own. */
export interface PostgresUrlOptions extends StoreOptions {
	/** The libpq URL, with `sslmode` for TLS. */
	url: string;
	/** Default: the connection's search path. */
	schema?: string;
	/** Letters, digits and underscores. Default `saga_store`. */
	tableName?: string;
	/** The table of sagas. Default `saga_instances`. */
	statesTableName?: string;
	/** The table of executions. Default `saga_executions`. */
	executionsTableName?: string;
	/** The table of their logs. Default `saga_logs`. */
	logTableName?: string;
	/** The table of events; those that were sent and are kept are in the same with `_kept` behind its name. Default `saga_outbox`. */
	outboxTableName?: string;
	/** The table of accepted messages. Default `saga_inbox`. */
	inboxTableName?: string;
	/** Connections at most. Default 4. */
	poolSize?: number;
}
/** Options of a Redis store: on a connection of its own, or on a client of the application. */
export type RedisStoreOptions = RedisUrlOptions | RedisClientOptions;
/** Options of a Redis store on a client of the application. */
export interface RedisClientOptions extends StoreOptions {
	/** ioredis (Redis, Cluster), or redis (node-redis 5 and later). */
	client: RedisClient;
	/** Keys are `{keyPrefix}:{id}`, whatever prefix the client has itself. Default `saga:storage`. */
	keyPrefix?: string;
	/** Keys of sagas are `{statesKeyPrefix}saga:{sagaName}:{correlationId}`, and indexes beside them. Default `saga-bus:`. */
	statesKeyPrefix?: string;
	/** Keys of executions are `{executionsKeyPrefix}{b0}:…` to `{b255}:…`; it has no `{`. Default `saga-exec:`. */
	executionsKeyPrefix?: string;
	/** Keys of the outbox are `{outboxKeyPrefix}…`, all in one slot of a Cluster: see docs/options.md. Default `{saga-outbox}:`. */
	outboxKeyPrefix?: string;
	/** Keys of accepted messages are `{inboxKeyPrefix}…`. Default `saga-inbox:`. */
	inboxKeyPrefix?: string;
}
/** Options of a Redis store on a connection of its own. */
export interface RedisUrlOptions extends StoreOptions {
	/** `redis:`, `rediss:`, `redis-cluster:`, `rediss-cluster:`, `redis-sentinel:` or `rediss-sentinel:`. */
	url: string;
	/** Keys are `{keyPrefix}:{id}`. Default `saga:storage`. */
	keyPrefix?: string;
	/** Keys of sagas are `{statesKeyPrefix}saga:{sagaName}:{correlationId}`, and indexes beside them. Default `saga-bus:`. */
	statesKeyPrefix?: string;
	/** Keys of executions are `{executionsKeyPrefix}{b0}:…` to `{b255}:…`; it has no `{`. Default `saga-exec:`. */
	executionsKeyPrefix?: string;
	/** Keys of the outbox are `{outboxKeyPrefix}…`, all in one slot of a Cluster: see docs/options.md. Default `{saga-outbox}:`. */
	outboxKeyPrefix?: string;
	/** Keys of accepted messages are `{inboxKeyPrefix}…`. Default `saga-inbox:`. */
	inboxKeyPrefix?: string;
	/** A PEM file with the certificate authorities to trust. Default: the system's. */
	tlsCaFile?: string;
}
/** Options of a MongoDB store: on connections of its own, or on a client of the application. */
export type MongoStoreOptions = MongoUrlOptions | MongoClientOptions;
/** Options of a MongoDB store on a client of the application, whose concerns hold (`w: 0` is refused; without one, `majority`). */
export interface MongoClientOptions extends StoreOptions {
	/** `mongodb`: a MongoClient or a Db. */
	client: MongoClientLike;
	/** Default: that of the client. */
	database?: string;
	/** Default `saga_store`. */
	collectionName?: string;
	/** The collection of sagas. Default `saga_instances`. */
	statesCollectionName?: string;
	/** The collection of executions. Default `saga_executions`. */
	executionsCollectionName?: string;
	/** The collection of the older parts of their logs. Default `saga_logs`. */
	logCollectionName?: string;
	/** The collection of events. Default `saga_outbox`. */
	outboxCollectionName?: string;
	/** The collection of accepted messages. Default `saga_inbox`. */
	inboxCollectionName?: string;
}
/** Options of a MongoDB store on connections of its own. */
export interface MongoUrlOptions extends StoreOptions {
	/** The driver's URL, `mongodb:` or `mongodb+srv:`; the database is its path, `sagas` where there is none. */
	url: string;
	/** Default `saga_store`. */
	collectionName?: string;
	/** The collection of sagas. Default `saga_instances`. */
	statesCollectionName?: string;
	/** The collection of executions. Default `saga_executions`. */
	executionsCollectionName?: string;
	/** The collection of the older parts of their logs. Default `saga_logs`. */
	logCollectionName?: string;
	/** The collection of events. Default `saga_outbox`. */
	outboxCollectionName?: string;
	/** The collection of accepted messages. Default `saga_inbox`. */
	inboxCollectionName?: string;
}
/** Options of a DynamoDB store: on connections of its own, or on a client of the application. */
export type DynamoDBStoreOptions = DynamoDBUrlOptions | DynamoDBClientOptions;
/** Options of a DynamoDB store on a client of the application. Region, endpoint and credentials are the client's. */
export interface DynamoDBClientOptions extends StoreOptions {
	/** `@aws-sdk/client-dynamodb` (DynamoDBClient, DynamoDB), or `@aws-sdk/lib-dynamodb` (DynamoDBDocumentClient, DynamoDBDocument). */
	client: DynamoDBClientLike;
	/** Default `saga_store`. */
	tableName?: string;
	/** The table of sagas, with its indexes. Default `saga_instances`. */
	statesTableName?: string;
	/** The table of executions and their logs, with its indexes. Default `saga_executions`. */
	executionsTableName?: string;
	/** The table of events, with its indexes. Default `saga_outbox`. */
	outboxTableName?: string;
	/** The table of accepted messages. Default `saga_inbox`. */
	inboxTableName?: string;
}
/** Options of a DynamoDB store on connections of its own. */
export interface DynamoDBUrlOptions extends StoreOptions {
	/** `dynamodb://eu-west-1/saga_store?endpoint=http://127.0.0.1:8000`; table and endpoint may be left out. */
	url: string;
	/** Default: the URL's path, or `saga_store`. */
	tableName?: string;
	/** The table of sagas, with its indexes. Default `saga_instances`. */
	statesTableName?: string;
	/** The table of executions and their logs, with its indexes. Default `saga_executions`. */
	executionsTableName?: string;
	/** The table of events, with its indexes. Default `saga_outbox`. */
	outboxTableName?: string;
	/** The table of accepted messages. Default `saga_inbox`. */
	inboxTableName?: string;
	/** Default: the URL's host, or what the AWS default chain says. */
	region?: string;
	/** Another endpoint than AWS's own, such as DynamoDB Local. */
	endpoint?: string;
	/** Default: the AWS default chain (environment, profile, SSO, container, instance metadata). */
	credentials?: {
		accessKeyId: string;
		secretAccessKey: string;
		sessionToken?: string;
	};
}
/** Options of any store; those of the backend that the URL names are accepted. */
export type AnyStoreOptions = MemoryStoreOptions | SqliteStoreOptions | PostgresStoreOptions | RedisStoreOptions | MongoStoreOptions | DynamoDBStoreOptions;
/** One payload of a `putMany`. */
export interface PayloadEntry {
	/** The claim id: 1 to 1,024 bytes of UTF-8. */
	id: string;
	/** The payload. */
	data: Uint8Array;
	/** When it ceases to exist; never, if left out. */
	expiresAt?: Date;
	/** For logs and traces. */
	routingSlipId?: string;
}
/** Options of one `put`. */
export interface PutOptions {
	/** For logs and traces. Default: read from a claim id `slip-{routingSlipId}-{millis}`. */
	routingSlipId?: string;
}
/** Options of one `transaction`. */
export interface TransactionOptions {
	/** One of `store.capabilities.isolation`. Default: `read committed` on PostgreSQL, as SQLite has no other than `serializable`. */
	isolation?: "read committed" | "repeatable read" | "serializable";
}
/** Options of `list`. */
export interface PayloadListOptions {
	/** Only payloads whose ids begin so, byte for byte. */
	prefix?: string;
	/** At most so many: 1 to 1,000. Default 100. */
	limit?: number;
	/** That of the page before. */
	cursor?: string;
}
/** A payload of a list. */
export interface ListedPayload {
	id: string;
	/** Bytes as they are stored: of a compressed payload, those of what it was compressed to. */
	bytes: number;
	/** When it ceases to exist; never, if it is missing. */
	expiresAt?: Date;
}
/** One page of `list`. */
export interface PayloadPage {
	items: ListedPayload[];
	/** Where the next page begins; none on the last one. */
	cursor?: string;
}
/** What `stat` tells of a payload. */
export interface PayloadStat extends ListedPayload {
	compressed: boolean;
	/** Bytes as they were given; missing where only reading all of it would tell. */
	originalBytes?: number;
}
declare class Payloads<Deleted extends boolean | undefined> {
	#private;
	/** @internal */
	protected constructor(runner: Runner);
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
	put(id: string, data: Uint8Array, expiresAt?: Date, options?: PutOptions): Promise<void>;
	/**
	 * The payload. A read does not wait for writes: one that is called before a `put` of its id has settled may answer
	 * what was there before it.
	 *
	 * @throws NotFoundError if there is none, or if its time is over: then `expiredAt` says since when, where the backend
	 *   has not removed it yet (not in a transaction)
	 */
	get(id: string): Promise<Buffer>;
	/** The payload, or null if there is none. */
	find(id: string): Promise<Buffer | null>;
	/** Whether there is a payload. */
	has(id: string): Promise<boolean>;
	/**
	 * Removes a payload; whether there was one. (Inside a transaction that is only sent at its end, a Redis
	 * MULTI or DynamoDB's TransactItems, that is not known: `undefined`.)
	 */
	delete(id: string): Promise<Deleted>;
	/** Sets another expiry, under the same rules as `put`; whether there was a payload. */
	touch(id: string, expiresAt: Date): Promise<boolean>;
	/**
	 * Stores several payloads. Resolves when all are stored; rejects if one is not, and then the
	 * others may be. Nothing is sent if one of them is invalid.
	 */
	putMany(entries: Iterable<PayloadEntry>): Promise<void>;
	/** The payloads of several ids; an id without one is not in the map. */
	getMany(ids: Iterable<string>): Promise<Map<string, Buffer>>;
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
	list(options?: PayloadListOptions): Promise<PayloadPage>;
	/**
	 * Size and expiry of a payload, and whether it is compressed; null if there is none. Its bytes are not read, but on
	 * MongoDB and DynamoDB.
	 *
	 * @throws UnsupportedError in a transaction
	 */
	stat(id: string): Promise<PayloadStat | null>;
}
/** What a saga engine keeps beside the state of a saga. Dates are Dates, when it is stored too: a text or a number is refused. */
export interface SagaMetadata {
	/** Unique among the sagas of one name. */
	sagaId: string;
	/** Counts the updates. Default of a new saga: 1. */
	version?: number;
	createdAt?: Date;
	updatedAt?: Date;
	isCompleted?: boolean;
	archivedAt?: Date | null;
	traceParent?: string | null;
	traceState?: string | null;
	timeoutMs?: number | null;
	/** `findTimedOut` finds the saga from then on, unless it has ended. */
	timeoutExpiresAt?: Date | null;
	/** Only to be read: what is read of a saga has it. It is kept beside the state, and not taken from here. */
	readonly correlationId?: string;
}
/** A saga's state: anything that `JSON.stringify` takes, with `metadata`. */
export interface SagaState {
	metadata: SagaMetadata;
}
/** The metadata of a state that is stored: whole. */
export interface StoredMetadata extends SagaMetadata {
	version: number;
	createdAt: Date;
	updatedAt: Date;
	isCompleted: boolean;
	/** The id that the saga was inserted with. It never changes: another value here is not stored. */
	readonly correlationId: string;
}
/** A state as it is read, or as it has been stored: what the application keeps, with its metadata whole. */
export type Stored<T extends object> = T & {
	metadata: StoredMetadata;
};
/** Which sagas of a name are meant. */
export interface SagaFilter {
	/** Only those that have ended, or only those that have not. */
	completed?: boolean;
}
/** What becomes of sagas that cannot be read. */
export interface CorruptOptions {
	/**
	 * Is told each of them; the others are answered. Without it the operation rejects with `CORRUPT_DATA`: the error has
	 * all of them (`corrupt`), and what would have been answered (`found`).
	 */
	onCorrupt?: (problem: CorruptSaga) => void;
}
/** Options of `findByName`. */
export interface FindOptions extends SagaFilter, CorruptOptions {
	/** At most so many: 1 to 1,000. Default 100. */
	limit?: number;
	/** That of the page before. */
	cursor?: string;
}
/** One page of `findByName`. */
export interface SagaPage<T extends object> {
	items: Stored<T>[];
	/** Where the next page begins; none on the last one. */
	cursor?: string;
}
/** Options of `findTimedOut`. */
export interface TimedOutOptions extends CorruptOptions {
	/** Timeouts up to then. Default: the present. */
	now?: Date;
	/** At most so many: 1 to 1,000. Default 100. */
	limit?: number;
	/** Only those of this name. */
	sagaName?: string;
}
/** A saga whose timeout has passed. */
export interface TimedOutSaga<T extends object> {
	sagaName: string;
	state: Stored<T>;
}
/** Options of `names`. */
export interface NamesOptions {
	/** At most so many: 1 to 1,000. Default 100. */
	limit?: number;
	/** That of the page before. */
	cursor?: string;
}
/** One page of `names`. */
export interface NamePage {
	items: string[];
	/** Where the next page begins; none on the last one. */
	cursor?: string;
}
/** Options of `findStale`. */
export interface StaleOptions extends CorruptOptions {
	/** For how long nobody has changed them, in milliseconds: a whole number from 0 on. */
	unchangedForMs: number;
	/** At most so many: 1 to 1,000. Default 100. */
	limit?: number;
	/** That of the page before. */
	cursor?: string;
	/** Only those of this name. */
	sagaName?: string;
}
/** One page of `findStale`. */
export interface StalePage<T extends object> {
	items: StaleSaga<T>[];
	/** Where the next page begins; none on the last one. */
	cursor?: string;
}
/** A saga that nobody has changed for a while. */
export interface StaleSaga<T extends object> {
	sagaName: string;
	state: Stored<T>;
}
/** What `reindex` came to. */
export interface ReindexResult {
	/** Sagas that were looked at. */
	found: number;
	/** Those of them that were not in just the lists in which they belong, and are now. */
	added: number;
	/** Those that were in lists and are not stored any more. */
	removed: number;
	/** Those whose state cannot be read; they stay as they are. */
	unreadable: number;
}
/** Which sagas `claimTimedOut` gives to whom, and for how long. */
export interface ClaimOptions extends TimedOutOptions {
	/** The worker: 1 to 256 bytes of UTF-8. */
	workerId: string;
	/** How long nobody else is given them: 1 to 604,800,000 (a week). */
	leaseMs: number;
}
/** A saga whose timeout has passed, and which one worker has for a while. */
export interface ClaimedSaga<T extends object> extends TimedOutSaga<T> {
	workerId: string;
	/** By the clock of this process, and never later than the store's: stop working on it then. */
	leasedUntil: Date;
}
/** How `modify` goes about conflicts. */
export interface ModifyOptions {
	/** Further attempts. Default 3. */
	maxRetries?: number;
	/** The pause before the first of them is a random part of this; each one doubles it. Default 100. */
	retryDelayMs?: number;
}
/**
 * The sagas of one name, with the type of their state: `store.states.of<OrderState>('OrderSaga')`. Each method is the
 * one of `store.states` for this name.
 */
export declare class SagaStatesOf<T extends object = SagaState> {
	#private;
	/** The name of the sagas. */
	readonly sagaName: string;
	/** @internal */
	constructor(states: SagaStates, sagaName: string);
	/** The state, or null. */
	getById(sagaId: string): Promise<Stored<T> | null>;
	/** The state, or null. */
	getByCorrelationId(correlationId: string): Promise<Stored<T> | null>;
	/** Stores a new saga: see `SagaStates.insert`. */
	insert(correlationId: string, state: T & SagaState): Promise<void>;
	/** Replaces the state, if the stored version is the expected one: see `SagaStates.update`. */
	update(state: T & SagaState, expectedVersion: number): Promise<void>;
	/** Inserts a state without a version, and updates the saga of one that has a version: see `SagaStates.save`. */
	save(state: T): Promise<Stored<T>>;
	/** Reads the state, has it changed, and stores it: see `SagaStates.modify`. */
	modify(sagaId: string, change: (state: Stored<T>) => T | Promise<T>, options?: ModifyOptions): Promise<Stored<T>>;
	/** Removes the saga, if there is one. */
	delete(sagaId: string): Promise<void>;
	/** Removes the saga, if there is one. */
	deleteByCorrelationId(correlationId: string): Promise<void>;
	/** A page of them: see `SagaStates.findByName`. */
	find(options?: FindOptions): Promise<SagaPage<T>>;
	/** How many there are: see `SagaStates.countByName`. */
	count(options?: SagaFilter): Promise<number>;
	/** Those whose timeout has passed: see `SagaStates.findTimedOut`. */
	findTimedOut(options?: Omit<TimedOutOptions, "sagaName">): Promise<TimedOutSaga<T>[]>;
	/** Those that nobody has changed for a while: see `SagaStates.findStale`. */
	findStale(options: Omit<StaleOptions, "sagaName">): Promise<StalePage<T>>;
	/** Those whose timeout has passed, each given to one worker: see `SagaStates.claimTimedOut`. */
	claimTimedOut(options: Omit<ClaimOptions, "sagaName">): Promise<ClaimedSaga<T>[]>;
	/** Removes those that ended before a time: see `SagaStates.deleteCompletedBefore`. */
	deleteCompletedBefore(before: Date, options?: {
		limit?: number;
	}): Promise<number>;
}
/**
 * The state of saga instances, found by saga id or by correlation id, guarded by a version. Both ids are unique
 * among the sagas of one name. A saga name has 1 to 128 bytes of UTF-8, without `:` and `#`; ids have 1 to 512, and
 * a correlation id does not begin with `idx:`.
 */
export declare class SagaStates {
	#private;
	/** @internal */
	constructor(runner: Runner);
	/**
	 * The sagas of one name, with the type of their state.
	 *
	 * @throws InvalidArgumentError if the name is no text
	 */
	of<T extends object = SagaState>(sagaName: string): SagaStatesOf<T>;
	/** The state, or null. Dates of its metadata are Dates. */
	getById<T extends object = SagaState>(sagaName: string, sagaId: string): Promise<Stored<T> | null>;
	/** The state, or null. Dates of its metadata are Dates. */
	getByCorrelationId<T extends object = SagaState>(sagaName: string, correlationId: string): Promise<Stored<T> | null>;
	/**
	 * Stores a new saga, with the version that its metadata has (1, if it has none) and its dates.
	 *
	 * @param state with `metadata.sagaId`; what else is missing in `metadata` is filled in in what is stored
	 * @throws AlreadyExistsError if the saga id or the correlation id is taken
	 * @throws SerializationError if it cannot be kept as JSON: `path` says what
	 */
	insert<T extends object>(sagaName: string, correlationId: string, state: T & SagaState): Promise<void>;
	/**
	 * Replaces the state, if the stored version is the expected one; what is stored has the next version. Its
	 * `createdAt` and its correlation id stay what they are. `updatedAt` is the time of this change: the present, unless
	 * the state's lies in the future.
	 *
	 * @throws ConcurrencyError if the version is another one: `expectedVersion`, `actualVersion`
	 * @throws NotFoundError if there is no such saga
	 * @throws SerializationError
	 */
	update<T extends object>(sagaName: string, state: T & SagaState, expectedVersion: number): Promise<void>;
	/** Removes the saga, if there is one. */
	delete(sagaName: string, sagaId: string): Promise<void>;
	/** Removes the saga, if there is one. */
	deleteByCorrelationId(sagaName: string, correlationId: string): Promise<void>;
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
	modify<T extends object = SagaState>(sagaName: string, sagaId: string, change: (state: Stored<T>) => T | Promise<T>, options?: ModifyOptions): Promise<Stored<T>>;
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
	save<T extends object>(sagaName: string, state: T): Promise<Stored<T>>;
	/** `getById`, under the name that `@saga-bus/store-redis` documents. */
	findById<T extends object = SagaState>(sagaName: string, sagaId: string): Promise<Stored<T> | null>;
	/** `getByCorrelationId`, under the name that `@saga-bus/store-redis` documents. */
	findByCorrelationId<T extends object = SagaState>(sagaName: string, correlationId: string): Promise<Stored<T> | null>;
	/**
	 * Sagas of a name in the order of their saga ids, in pages of at most `limit` (1 to 1,000, default 100). Give the
	 * cursor of a page to get the next one. Each saga is listed once, also when others are inserted meanwhile. The last
	 * page has no cursor. A page has fewer items where some cannot be read. On DynamoDB the list follows a change a
	 * moment later, as its indexes do; the states in it are read consistently.
	 *
	 * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` is the page of the others
	 */
	findByName<T extends object = SagaState>(sagaName: string, options?: FindOptions): Promise<SagaPage<T>>;
	/** How many sagas of a name there are; on DynamoDB a moment ago. */
	countByName(sagaName: string, options?: SagaFilter): Promise<number>;
	/**
	 * Removes sagas that ended before a time, at most `limit` of them, in batches. Answers how many. A saga ends when an
	 * insert or an update first makes it completed. One that is inserted as completed has ended at its `updatedAt`. What
	 * was removed before a `TIMEOUT` stays removed.
	 */
	deleteCompletedBefore(sagaName: string, before: Date, options?: {
		limit?: number;
	}): Promise<number>;
	/**
	 * Sagas that have not ended and whose `metadata.timeoutExpiresAt` has passed at `now` (default: the present). The
	 * longest overdue comes first. At most `limit` (1 to 1,000, default 100) are answered; those that cannot be read do
	 * not count, as long as there are no more than 1,000 of both. DynamoDB finds a saga a moment after it was stored.
	 *
	 * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` are the others
	 */
	findTimedOut<T extends object = SagaState>(options?: TimedOutOptions): Promise<TimedOutSaga<T>[]>;
	/**
	 * The names that sagas have, in their order, in pages of at most `limit` (1 to 1,000, default 100). Give the cursor of a
	 * page to get the next one. It goes from name to name, whatever there is of each. On Redis sagas count whose names are
	 * known: for those that an older version or other software has stored, call `reindex` once. On DynamoDB the list
	 * follows a change a moment later, and begins with the first saga of a name that is stored otherwise than in the
	 * application's own `TransactItems`.
	 */
	names(options?: NamesOptions): Promise<NamePage>;
	/**
	 * Sagas that have not ended and that nobody has changed for a while: their `metadata.updatedAt` is at least
	 * `unchangedForMs` ago. In the order of names and saga ids, in pages of at most `limit` (1 to 1,000, default 100). Give
	 * the cursor of a page to get the next one: what is old is judged by the time of the first page. It reads the open sagas
	 * of a name in their order, and answers those that are old: there is no index by `updatedAt`, which changes each time.
	 *
	 * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` is the page of the others
	 */
	findStale<T extends object = SagaState>(options: StaleOptions): Promise<StalePage<T>>;
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
	reindex(options?: {
		sagaName?: string;
	}): Promise<ReindexResult>;
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
	claimTimedOut<T extends object = SagaState>(options: ClaimOptions): Promise<ClaimedSaga<T>[]>;
	/**
	 * All sagas as they are stored, one by one, page by page behind the scenes: whole records for `importRecords` of another
	 * store. What has expired is left out; what is stored meanwhile may be left out. Nothing is blocked.
	 *
	 * @throws CorruptDataError if one cannot be read, without `onUnreadable`
	 */
	exportAll(options?: ExportOptions): AsyncIterableIterator<ExportedRecord<"states">>;
	/**
	 * Stores sagas as they are: versions, dates, and all else. What has expired is counted, and not stored.
	 *
	 * @throws TransferError if one of them could not be stored: all others are
	 */
	importRecords(records: Given<StateRecord | ExportedRecord<"states">>, options?: ImportOptions): Promise<KindCounts>;
	/** How many sagas there are; about, where counting would read everything. */
	count(): Promise<number>;
}
type QueryInTransaction = <Row>(sql: string, values: readonly unknown[]) => Promise<Row[]>;
/**
 * A transaction of a store, for the length of `store.transaction`: everything in it is stored, or
 * nothing is. Its own reads see what it has written; nobody else does before it is committed.
 *
 * Where transactions are buffered (Redis, DynamoDB: see `store.capabilities.transactions`), writes are
 * collected and sent at the end: `put` and `delete` resolve when they are queued, everything that
 * needs an answer is `UNSUPPORTED`. Used after its end, everything is `CLOSED`.
 */
export declare class SagaTransaction extends Payloads<boolean | undefined> {
	#private;
	/** As `SagaStore.states`: its changes are stored with the transaction, or not at all. */
	readonly states: SagaStates;
	/** As `SagaStore.executions`: its changes are stored with the transaction, or not at all. */
	readonly executions: SagaExecutions;
	/** As `SagaStore.outbox`: events are stored with the transaction, or not at all. */
	readonly outbox: SagaOutbox;
	/** As `SagaStore.inbox`: messages are remembered with the transaction, or not at all. */
	readonly inbox: SagaInboxEntries;
	/** @internal */
	constructor(runner: Runner, query: QueryInTransaction);
	/**
	 * Runs a statement of the application's own in the transaction (PostgreSQL and SQLite).
	 *
	 * @param sql one statement, with `$1..$n` on PostgreSQL and `?` on SQLite. Beginning and ending the
	 *   transaction is `store.transaction`'s; savepoints are free to use
	 * @param values null, booleans, numbers, bigints, text, Dates, bytes; on PostgreSQL also arrays, and
	 *   objects for json. `undefined` is null
	 * @returns rows as objects. PostgreSQL's `bigint` and `numeric` are text (as with `pg`), times are Dates, `bytea` is a Buffer
	 */
	query<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
}
/** How a message is remembered. */
export interface AcceptOptions {
	/** How long it is remembered, in ms, up to a hundred years. Default 604,800,000: seven days. */
	ttlMs?: number;
}
/** What came of a message: a duplicate has no result. */
export type InboxResult<T> = {
	ran: true;
	result: T;
} | {
	ran: false;
	result?: never;
};
interface InboxSupport {
	transaction<T>(work: (tx: SagaTransaction) => Promise<T> | T): Promise<T>;
	/** Whether a transaction that is opened now only finds out at its end that a message was accepted before. */
	learnsLate(): boolean;
}
/**
 * Which messages a consumer has applied, so that one that is delivered again changes nothing. Two consumers have nothing
 * to do with each other. A consumer's name has 1 to 255 bytes of UTF-8, a message's id 1 to 512.
 */
export declare class SagaInboxEntries {
	#private;
	protected readonly runner: Runner;
	/** @internal */
	constructor(runner: Runner);
	/**
	 * Remembers a message, in one atomic write. In a transaction it is remembered with the rest of it.
	 *
	 * @returns whether it was new. In a transaction that is only sent at its end (Redis, DynamoDB) it is always true: if
	 *   the message was not new, the transaction fails with `ALREADY_EXISTS`
	 */
	accept(consumer: string, messageId: string, options?: AcceptOptions): Promise<boolean>;
	/** Whether a message is remembered. */
	has(consumer: string, messageId: string): Promise<boolean>;
	/** Forgets a message: it is new again. Whether it was remembered. */
	forget(consumer: string, messageId: string): Promise<boolean>;
	/** Removes what is remembered no longer, in batches, where the server does not do it by itself. Answers how many. */
	cleanup(): Promise<number>;
	/**
	 * All entries as they are stored, one by one, page by page behind the scenes: whole records for `importRecords` of another
	 * store. What has expired is left out; what is stored meanwhile may be left out. Nothing is blocked.
	 *
	 * @throws CorruptDataError if one cannot be read, without `onUnreadable`
	 */
	exportAll(options?: ExportOptions): AsyncIterableIterator<ExportedRecord<"inbox">>;
	/**
	 * Stores entries as they are: versions, dates, and all else. What has expired is counted, and not stored.
	 *
	 * @throws TransferError if one of them could not be stored: all others are
	 */
	importRecords(records: Given<InboxRecord | ExportedRecord<"inbox">>, options?: ImportOptions): Promise<KindCounts>;
	/** How many entries there are; about, where counting would read everything. */
	count(): Promise<number>;
	/** @internal */
	protected options(options: AcceptOptions | undefined, operation: string): AcceptOptions;
}
/** The inbox of a store. */
export declare class SagaInbox extends SagaInboxEntries {
	#private;
	/** @internal */
	constructor(runner: Runner, support: InboxSupport);
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
	run<T>(consumer: string, messageId: string, work: (tx: SagaTransaction) => Promise<T> | T, options?: AcceptOptions): Promise<InboxResult<T>>;
}
/** What `createIdempotencyMiddleware` of `@saga-bus/middleware-idempotency` takes for a store. */
export interface IdempotencyStore {
	/** Whether the message was marked. */
	has(messageId: string): Promise<boolean>;
	/** Marks the message for `ttlMs` milliseconds. A mark that is there stays as it is. */
	set(messageId: string, ttlMs?: number): Promise<void>;
	/** Removes the mark. */
	delete(messageId: string): Promise<void>;
	/** `UNSUPPORTED`: the inbox has the marks of all consumers. */
	clear(): Promise<void>;
}
/** Options of `idempotencyStore`. */
export interface IdempotencyStoreOptions {
	/** Whose marks they are: another consumer may have the same message. Default `saga-bus`. */
	consumer?: string;
	/** How long a message is remembered that is marked without a time of its own. Default: as long as the inbox does, 7 days. */
	ttlMs?: number;
}
/**
 * The inbox of a store as a store of `@saga-bus/middleware-idempotency`.
 *
 * ```ts
 * const store = idempotencyStore(sagas, { consumer: 'orders' })
 * const bus = createBus({ transport, sagas: [...], middleware: [createIdempotencyMiddleware({ store })] })
 * ```
 *
 * The middleware asks before the handler and marks behind it: two deliveries at the same time are both handled. Where that
 * must not be, do the work in `inbox.run`.
 *
 * @param store a store, or the transaction that `store.transaction` gives
 */
export declare function idempotencyStore(store: {
	readonly inbox: SagaInboxEntries;
}, options?: IdempotencyStoreOptions): IdempotencyStore;
/** A store, or the transaction that `store.transaction` gives. */
export interface OutboxSource {
	/** A transaction has none. */
	readonly backend?: BackendName;
	readonly outbox: SagaOutbox;
	readonly inbox: SagaInboxEntries;
}
/** An event, as outbox-event-bus has it. */
export interface BusEvent<T extends string = string, P = unknown> {
	id: string;
	type: T;
	payload: P;
	occurredAt: Date;
	metadata?: Record<string, unknown>;
}
/** An event that nobody tries any more. */
export interface FailedBusEvent<T extends string = string, P = unknown> extends BusEvent<T, P> {
	error?: string;
	retryCount: number;
	lastAttemptAt?: Date;
}
/** What `onError` is told: an error of the classes that are given, or one with the same name and fields. */
export interface OutboxEventBusError extends Error {
	context?: {
		event?: BusEvent | FailedBusEvent;
		cause?: unknown;
	};
}
/** What `OutboxEventBus` of outbox-event-bus takes for an outbox (`IOutbox`). */
export interface OutboxEventBusOutbox {
	/**
	 * Stores events: all of them or none, at most 1,000.
	 *
	 * @param transaction a transaction that `withTransaction` takes, or that `store.transaction` gives. Without one they
	 *   join the transaction that the caller is in, if any
	 */
	publish(events: BusEvent[], transaction?: unknown): Promise<void>;
	/**
	 * Hands events to `handler` until `stop`. What it throws is told to `onError`, and the event comes again after a pause.
	 * Once it runs, a second call only replaces `handler` and `onError`.
	 */
	start(handler: (event: BusEvent) => Promise<void>, onError: (error: OutboxEventBusError) => void): void;
	/** Waits for handlers that run, and hands back what has not been begun. */
	stop(): Promise<void>;
	/** Dead letters, the earliest first, at most 1,000. */
	getFailedEvents(): Promise<FailedBusEvent[]>;
	/** Brings dead letters back. Other events stay as they are. */
	retryEvents(eventIds: string[]): Promise<void>;
}
/** Options of `outboxEventBusOutbox`. */
export interface OutboxEventBusOptions extends Pick<RelayOptions, "workerId" | "concurrency" | "batchSize" | "leaseMs" | "pollMs"> {
	/** Classes of outbox-event-bus, by which `onError` tells what has happened: the module itself, or these two. */
	errors?: {
		HandlerError: new (cause: unknown, event: BusEvent) => Error;
		MaxRetriesExceededError: new (cause: unknown, event: FailedBusEvent) => Error;
	};
	/** Events of one key are handled one after the other, in the order in which they were published. Default: no event has one. */
	partitionKey?: (event: BusEvent) => string | undefined;
}
/**
 * The outbox of a store as an outbox of outbox-event-bus.
 *
 * ```ts
 * import * as errors from 'outbox-event-bus'
 * const bus = new errors.OutboxEventBus(outboxEventBusOutbox(store, { errors, concurrency: 50 }), onError)
 * ```
 *
 * `metadata` are the `headers` of an event. How often an event is tried, and after which pauses, is said by the store's
 * options (`outbox.maxRetries`, `outbox.retryBackoffMs`). Its publishers collect events for 100 ms before they send them:
 * let `concurrency` be as large as their `bufferSize` (50).
 *
 * @param store a store, or the transaction that `store.transaction` gives: that one can only publish
 */
export declare function outboxEventBusOutbox(store: OutboxSource, options?: OutboxEventBusOptions): OutboxEventBusOutbox;
/** What `createBus` of `@saga-bus/core` takes for a saga's store. */
export interface SagaBusStore<T extends object> {
	/** The saga with this id, or null. */
	getById(sagaName: string, sagaId: string): Promise<T | null>;
	/** The saga with this correlation id, or null. */
	getByCorrelationId(sagaName: string, correlationId: string): Promise<T | null>;
	/** Stores a new saga. Its `ConcurrencyError` if there is one already. */
	insert(sagaName: string, correlationId: string, state: T): Promise<void>;
	/** Stores the state if the saga has the expected version. Else its `ConcurrencyError`. */
	update(sagaName: string, state: T, expectedVersion: number): Promise<void>;
	/** Removes the saga with this id. It is no error if there is none. */
	delete(sagaName: string, sagaId: string): Promise<void>;
}
/** What of saga state the bus uses: that of a store, of a transaction, or of a `migrating` store. */
export type SagaBusSource = Pick<SagaStates, "getById" | "getByCorrelationId" | "insert" | "update" | "delete">;
/** Options of `sagaBusStore`: classes of `@saga-bus/core`, by which the bus tells what to do with a message. */
export interface SagaBusOptions {
	/** A conflict: the bus tries the message again, on the saga that is stored then. */
	ConcurrencyError: new (sagaId: string, expectedVersion: number, actualVersion?: number) => Error;
	/** What passes by itself (an error that is `retryable`): the bus tries the message again. */
	TransientError?: new (message: string, cause?: Error) => Error;
}
/**
 * Saga state as a store of `@saga-bus/core`.
 *
 * ```ts
 * import { ConcurrencyError, createBus, TransientError } from '@saga-bus/core'
 * const store = sagaBusStore(states, { ConcurrencyError, TransientError })
 * const bus = createBus({ transport, sagas: [{ definition, store }] })
 * ```
 *
 * Conflicts of versions are its `ConcurrencyError`, and so is a saga that another message has started meanwhile
 * (`ALREADY_EXISTS`). Errors that are `retryable` are its `TransientError`; without that class they say in their message
 * that they pass. The store's own error is the `cause`. All others are thrown as they are.
 *
 * @param states of a store, or of a transaction
 * @param options the classes of `@saga-bus/core`
 */
export declare function sagaBusStore<T extends object>(states: SagaBusSource, options: SagaBusOptions): SagaBusStore<T>;
/** What `sagazOutbox` takes: a store. */
export interface SagazOutboxSource extends OutboxSource {
	/** As `store.health`. */
	health(): Promise<Health>;
}
/** An event's status, as sagaz has it. `failed` is only said to `updateStatus`: such an event is pending here. */
export type SagazOutboxStatus = "pending" | "claimed" | "sent" | "failed" | "dead_letter";
/** An event, as sagaz has it. */
export interface SagazOutboxEvent {
	eventId: string;
	sagaId: string;
	eventType: string;
	payload: unknown;
	aggregateType: string;
	aggregateId: string;
	headers: Record<string, unknown>;
	status: SagazOutboxStatus;
	createdAt: Date;
	claimedAt: Date | null;
	sentAt: Date | null;
	retryCount: number;
	lastError: string | null;
	workerId: string | null;
	routingKey: string | null;
	partitionKey: string | null;
}
/** An event to insert: what sagaz gives a default may be left out. */
export type SagazNewOutboxEvent = Pick<SagazOutboxEvent, "sagaId" | "eventType" | "payload"> & Partial<SagazOutboxEvent>;
/** What sagaz' workers take for an outbox (`OutboxStorage`), in camel case, with its inbox. */
export interface SagazOutbox {
	/**
	 * `connection`, here and below: a transaction that `withTransaction` takes, or that `store.transaction` gives.
	 *
	 * @throws AlreadyExistsError if the id is taken
	 */
	insert(event: SagazNewOutboxEvent, connection?: unknown): Promise<SagazOutboxEvent>;
	/** The event with this id, or null. */
	getById(eventId: string): Promise<SagazOutboxEvent | null>;
	/**
	 * Decides about an event, whoever has it. `failed` counts a failure: the event is pending again after a pause, or a dead
	 * letter, as the answer says. `pending`: at once.
	 *
	 * @throws NotFoundError if there is none
	 */
	updateStatus(eventId: string, status: SagazOutboxStatus, errorMessage?: string | null, connection?: unknown): Promise<SagazOutboxEvent>;
	/** Nobody else is given them for five minutes. */
	claimBatch(workerId: string, batchSize?: number, olderThanSeconds?: number): Promise<SagazOutboxEvent[]>;
	/** All events of a saga, the earliest first. */
	getEventsBySaga(sagaId: string): Promise<SagazOutboxEvent[]>;
	/** Events that were claimed so long ago, the earliest first, at most 1,000. Default 300 seconds. */
	getStuckEvents(claimedOlderThanSeconds?: number): Promise<SagazOutboxEvent[]>;
	/** Makes them pending; answers how many. Default 300 seconds. */
	releaseStuckEvents(claimedOlderThanSeconds?: number): Promise<number>;
	/** How many events are pending. */
	getPendingCount(): Promise<number>;
	/** The earliest first. Default 100. */
	getDeadLetterEvents(limit?: number): Promise<SagazOutboxEvent[]>;
	/** Removes them. Default: those sent 30 days ago. */
	archiveEvents(olderThanDays?: number, statuses?: Iterable<"sent" | "dead_letter">): Promise<number>;
	/** Removes them. Default: those sent 7 days ago. */
	archiveSentEvents(olderThanDays?: number): Promise<number>;
	/** Whether the store can be used. */
	healthCheck(): Promise<{
		status: Health["status"];
		isHealthy: boolean;
		latencyMs: number;
		message: string;
		details: Record<string, unknown>;
		checkedAt: string;
	}>;
	/** How many events there are; `failedRecords` are the dead letters. */
	getStatistics(): Promise<{
		totalRecords: number;
		pendingRecords: number;
		failedRecords: number;
	}>;
	/** All events, page by page. */
	exportAll(): AsyncIterableIterator<SagazOutboxEvent>;
	/** What was sent or is a dead letter is so here, too. Times and counts are not kept. */
	importRecord(record: SagazNewOutboxEvent): Promise<void>;
	/** How many events there are. */
	count(): Promise<number>;
	/** True for a message that the consumer has had already. Topic, type and payload are not kept. */
	checkAndInsertInbox(eventId: string, consumerName: string, sourceTopic?: string, eventType?: string, payload?: unknown, connection?: unknown): Promise<boolean>;
	/** Durations are not kept. */
	updateInboxDuration(eventId: string, durationMs: number): Promise<void>;
	/** Removes what is remembered no longer (7 days), of all consumers; the arguments are not looked at. */
	cleanupInbox(consumerName?: string, olderThanDays?: number): Promise<number>;
}
/**
 * The outbox and the inbox of a store as an outbox of sagaz (`OutboxStorage`), for workers that are written like its own.
 * They decide about events by id, without a token: where a late worker must change nothing, use `store.outbox`.
 */
export declare function sagazOutbox(store: SagazOutboxSource): SagazOutbox;
/** What `sagazStorage` takes: a store. */
export interface SagazSource {
	readonly executions: SagaExecutions;
	/** As `store.health`. */
	health(): Promise<Health>;
}
/** A saga's status, as sagaz has it. */
export type SagazStatus = "pending" | "executing" | "completed" | "compensating" | "failed" | "rolled_back" | "partially_committed" | "forward_recovery";
/** A step's status, as sagaz has it. */
export type SagazStepStatus = "pending" | "executing" | "completed" | "compensating" | "compensated" | "failed" | "tainted" | "skipped";
/** A step, as sagaz has it; it may have more, which is kept. */
export interface SagazStep {
	name: string;
	status: SagazStepStatus;
	result?: unknown;
	error?: string | null;
	/** ISO 8601. */
	executedAt?: string | null;
	compensatedAt?: string | null;
	retryCount?: number;
	[more: string]: unknown;
}
/** A saga's state, as sagaz has it. Times are ISO 8601. */
export interface SagazState {
	sagaId: string;
	sagaName: string;
	status: SagazStatus;
	steps: SagazStep[];
	context: Record<string, unknown>;
	metadata: Record<string, unknown>;
	createdAt: string;
	updatedAt: string;
}
/** A saga in a list. */
export interface SagazSummary extends Pick<SagazState, "sagaId" | "sagaName" | "status" | "createdAt" | "updatedAt"> {
	stepCount: number;
	completedSteps: number;
}
/** Which sagas are listed. */
export interface SagazFilter {
	status?: SagazStatus;
	/** It is looked for within the names, whatever the case. */
	sagaName?: string;
	/** At most so many. Default 100. */
	limit?: number;
	/** So many are left out first. Default 0. */
	offset?: number;
}
/** What `updateStepState` says of a step besides its status. */
export interface SagazStepChange {
	result?: unknown;
	error?: string | null;
	executedAt?: Date;
}
/** What `importRecord` takes: a state, whose times are not kept. */
export type SagazRecord = Pick<SagazState, "sagaId" | "sagaName" | "status"> & Partial<SagazState>;
/** What sagaz' engine takes for a storage, in camel case. */
export interface SagazStorage {
	/** Inserts, or replaces as a whole; `createdAt` stays. */
	saveSagaState(sagaId: string, sagaName: string, status: SagazStatus, steps: Iterable<SagazStep>, context: object, metadata?: object | null): Promise<void>;
	/** The saga with all its steps, or null. */
	loadSagaState(sagaId: string): Promise<SagazState | null>;
	/** Removes it; answers whether it was there. */
	deleteSagaState(sagaId: string): Promise<boolean>;
	/** The latest change first. */
	listSagas(filter?: SagazFilter): Promise<SagazSummary[]>;
	/** @throws NotFoundError if there is no such saga, or no such step in it */
	updateStepState(sagaId: string, stepName: string, status: SagazStepStatus, more?: SagazStepChange): Promise<void>;
	/** Counts by status; `failed` has those that are partially committed, `pending` those in forward recovery. */
	getSagaStatistics(): Promise<{
		totalSagas: number;
		byStatus: Record<string, number>;
		storageBytes: number;
	}>;
	/** Those that have ended before then. Default: completed and rolled back ones. */
	cleanupCompletedSagas(olderThan: Date, statuses?: Iterable<SagazStatus>): Promise<number>;
	/** Whether the store can be used. */
	healthCheck(): Promise<{
		status: Health["status"];
		isHealthy: boolean;
		latencyMs: number;
		message: string;
		details: Record<string, unknown>;
		checkedAt: string;
	}>;
	/** All sagas, page by page. */
	exportAll(): AsyncIterableIterator<SagazState>;
	/** Stores it as `saveSagaState` does. Its times are not kept. */
	importRecord(record: SagazRecord): Promise<void>;
	/** How many sagas there are. */
	count(): Promise<number>;
}
/**
 * Executions as a storage of sagaz (`SagaStorage`), for engines that are written like its own. `executing` is `running`
 * here, and `rolled_back` is `compensated`. A saga that has ended is not set back (`INVALID_STATE`).
 */
export declare function sagazStorage(store: SagazSource): SagazStorage;
/**
 * A store of saga payloads (claim check). Opened by one of the classes `MemorySagaStore` and so on, or by `openStore`;
 * constructing never connects, the first operation or `initialize` does.
 */
export declare class SagaStore extends Payloads<boolean> implements SagaStoreAdapter {
	#private;
	/** Which backend it is. */
	readonly backend: BackendName;
	/** @internal */
	protected constructor(backend: BackendName | null, args: readonly unknown[]);
	/** The state of saga instances: see `SagaStates`. */
	get states(): SagaStates;
	/** What sagas are doing, step by step, and who works on them: see `SagaExecutions`. */
	get executions(): SagaExecutions;
	/** Events that are published after the data that they tell of is stored: see `SagaOutbox`. */
	get outbox(): SagaOutbox;
	/** Which messages have been applied: see `SagaInbox`. */
	get inbox(): SagaInbox;
	/** What this backend can do. */
	get capabilities(): Capabilities;
	/**
	 * Removes payloads and sagas whose time is over (`expiresAt`; `defaultTtlMs`, `completedTtlMs`), at most `limit` of
	 * them, in batches. Answers how many. Redis removes both by itself; there this call removes from the lists of sagas
	 * what is no longer stored. DynamoDB removes both within days; there this call reads the whole table, and AWS charges
	 * for it: one read unit for every 4 KB stored, and a write unit for every KB removed.
	 */
	purgeExpired(options?: {
		limit?: number;
	}): Promise<number>;
	/** Removes all payloads whose time is over. */
	cleanup(): Promise<void>;
	/**
	 * The statements that `initialize` runs in an empty database, for people who run their own migrations: the tables
	 * of payloads and of sagas with their indexes (PostgreSQL and SQLite).
	 *
	 * @throws UnsupportedError on other backends
	 */
	schemaSql(): string;
	/** Creates tables and indexes where they are missing. Safe to call from many processes at once. */
	initialize(): Promise<void>;
	/** Whether the store can be used. Never rejects; takes at most five seconds. */
	health(): Promise<Health>;
	/**
	 * What is stored, the state of the connections, and latencies since the store was opened.
	 * Counting reads the whole table (DynamoDB charges for that, as for `purgeExpired`), or on Redis all
	 * keys of the database. On a client of the application the connections are not the store's: `pool` is null.
	 *
	 * @param options `count: false`: only connections and latencies, without asking the database anything
	 */
	statistics(options?: {
		count?: true;
	}): Promise<Statistics>;
	statistics(options: {
		count?: boolean;
	}): Promise<UncountedStatistics & Partial<Statistics>>;
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
	transaction<T>(work: (tx: SagaTransaction) => Promise<T> | T, options?: TransactionOptions): Promise<T>;
	/**
	 * All records as they are stored, one by one, kind by kind: for `importRecords` of another store. What has expired is
	 * left out; what is stored meanwhile may be left out. Nothing is blocked. `transfer` moves them faster.
	 *
	 * @param options `kinds`: default everything
	 * @throws CorruptDataError if one cannot be read, without `onUnreadable`
	 */
	exportAll<K extends RecordKind = RecordKind>(options?: ExportAllOptions & {
		kinds?: Iterable<K>;
	}): AsyncIterableIterator<ExportedRecord<K>>;
	/**
	 * Stores records as they are: bytes, expiries, versions, dates, and all else. What has expired is counted, and not
	 * stored.
	 *
	 * @throws TransferError if one of them could not be stored: all others are
	 */
	importRecords(records: Given<ExportedRecord>, options?: ImportOptions): Promise<KindCounts>;
	/** How many records of each kind there are; about, where counting would read everything. */
	count(options?: {
		kinds?: Iterable<RecordKind>;
	}): Promise<RecordCounts>;
	/**
	 * Closes the store. What is called from now on is `CLOSED`, and so is a new transaction. Operations that were called
	 * before are answered, and transactions of this store (`store.transaction`) that are under way go on to their end;
	 * after `operationTimeoutMs` they are ended with `CLOSED` and rolled back. Then the connections are let go of.
	 * Safe to call again: every call resolves when the store is closed.
	 */
	close(): Promise<void>;
	/** `await using store = openStore(...)` */
	[Symbol.asyncDispose](): Promise<void>;
	/** What `console.log` shows: no password. */
	[inspect.custom](): string;
}
interface Place {
	/** Everything of this kind up to the cursor is acknowledged; null: everything is. */
	at: {
		kind: RecordKind;
		cursor: string | null;
	} | null;
	/** What has become of the records before it. */
	counts: MovedCounts;
}
type AnyRecord = RecordsOfKinds[RecordKind];
type SeenRecord = AnyRecord | {
	id: string;
	bytes: number;
	expiresAt?: Date;
};
interface Source {
	/** What it is, for checkpoints: without a password. */
	readonly where: string;
	/** Before anything is read. */
	open(): Promise<void>;
	count(kind: RecordKind): Promise<{
		count: number;
		approximate: boolean;
	}>;
	/** A page of what is behind a cursor. */
	page(kind: RecordKind, after: string | undefined, limit: number, maxBytes: number): Promise<RecordPage<AnyRecord>>;
	/** The same, for a dry run: payloads may be without their bytes. */
	look(kind: RecordKind, after: string | undefined, limit: number, maxBytes: number): Promise<RecordPage<SeenRecord>>;
	/** After the last page (`isWhole`), or where the move has ended before. */
	close(isWhole: boolean): Promise<void>;
}
interface Sink {
	/** What it is, for checkpoints: without a password. */
	readonly where: string;
	/** Batches that can be written at once. */
	readonly concurrency: number;
	/** The largest payload that it takes under an id. */
	maxPayloadBytes(id: string): number;
	/** Before anything is written. */
	open(kinds: readonly RecordKind[], source: string): Promise<void>;
	put(kind: RecordKind, records: readonly AnyRecord[], onConflict: OnConflict): Promise<Fate[]>;
	/** After the last batch (`isWhole`), or where the move has ended before. */
	close(isWhole: boolean): Promise<void>;
}
declare class Pace {
	#private;
	/** None: as fast as it goes. */
	readonly recordsPerSecond: number | undefined;
	readonly bytesPerSecond: number | undefined;
	constructor({ recordsPerSecond, bytesPerSecond, signal }: PaceOptions, operation: string);
	/** Records of a batch: not more than those of a second, so that the pace is even. */
	limit(batchSize: number): number;
	/** The same for its bytes. */
	maxBytes(most: number): number;
	/** Waits until a batch may be written. */
	take(records: number, bytes: number): Promise<void>;
}
interface Terms {
	/** Such as `transfer`. */
	operation: string;
	kinds: readonly RecordKind[];
	batchSize: number;
	concurrency: number;
	onError: "fail" | "skip" | "retry";
	onConflict: OnConflict;
	onRejected: OnRejected | undefined;
	dryRun: boolean;
	pace: Pace;
	signal: AbortSignal | undefined;
	/** Whether the move can go on at a checkpoint. */
	resumes: boolean;
}
interface Moving {
	source: Source;
	sink: Sink;
	terms: Terms;
	place: Place;
	/** Why the checkpoint that was given is none of this move. */
	foreign?: Error | undefined;
	issues(): Promise<TransferIssue[]>;
	/** Compares both sides at the end. */
	verify?: (() => Promise<Verification>) | undefined;
}
/**
 * Records on their way. It begins when it is awaited, or when its progress is asked for first:
 *
 * ```ts
 * const moving = transfer(source, target)
 * for await (const progress of moving) console.log(progress.kind, progress.percentComplete)
 * const result = await moving
 * ```
 *
 * The end of such a loop does not stop it: the option `signal` does.
 */
export declare class Transfer implements AsyncIterable<TransferProgress>, PromiseLike<TransferResult> {
	#private;
	/** @internal */
	constructor(moving: Moving);
	/** What is in the way, found out without writing anything. */
	validate(): Promise<TransferValidation>;
	/**
	 * How far it is, after each batch that the target has acknowledged. Whoever is slow is told the latest only. It throws
	 * what the move has failed with.
	 */
	[Symbol.asyncIterator](): AsyncGenerator<TransferProgress, void, undefined>;
	then<R = TransferResult, E = never>(onFulfilled?: ((result: TransferResult) => R | PromiseLike<R>) | null, onRejected?: ((reason: unknown) => E | PromiseLike<E>) | null): Promise<R | E>;
	/** As that of a promise. */
	catch<E = never>(onRejected?: ((reason: unknown) => E | PromiseLike<E>) | null): Promise<TransferResult | E>;
	/** As that of a promise. */
	finally(onFinally?: (() => void) | null): Promise<TransferResult>;
}
/**
 * Moves whole records from one store into another, as they are: bytes, expiries, versions, dates, statuses, leases,
 * tokens and logs. What has expired is counted and not moved. The source is only read, page by page; nothing in it is
 * blocked. Both stores must be initialized.
 *
 * It begins when it is awaited, or when its progress is asked for. It rejects with a `TransferError` if a record could
 * not be moved, whatever `onError` is; the error has the counts, and a checkpoint where to go on.
 *
 * @throws InvalidArgumentError if an option is wrong
 */
export declare function transfer(source: SagaStore, target: SagaStore, options?: TransferOptions): Transfer;
/** Options of `exportToFile`. */
export interface ExportFileOptions extends PaceOptions, Pick<TransferOptions, "kinds" | "batchSize" | "onError" | "onRejected"> {
	/** Whether it is compressed with Zstandard. Default: where the name ends in `.zst`. */
	compress?: boolean;
	/** Zstandard's level, 1 to 19. Default 3. */
	level?: number;
	/** Replaces a file that exists, once the new one is whole. Else it is refused. */
	overwrite?: boolean;
}
/** Options of `importFromFile`. */
export interface ImportFileOptions extends PaceOptions, Omit<TransferOptions, "resumeFrom" | "verify"> {
	/** Imports what is there of a file whose end is missing. */
	allowPartial?: boolean;
}
/**
 * Writes whole records into a file: JSON lines, compressed with Zstandard where its name ends in `.zst`. It is written as
 * `name.partial`, synced, and renamed: a file of its name is whole. The last line has the counts and a digest. Only its
 * owner can read it.
 *
 * It begins when it is awaited, or when its progress is asked for. It cannot be resumed.
 *
 * @param to the name of the file, or a stream, which is not ended
 * @throws InvalidArgumentError if an option is wrong
 */
export declare function exportToFile(store: SagaStore, to: string | Writable, options?: ExportFileOptions): Transfer;
/**
 * Stores the records of a file that `exportToFile` has written, as they are. A file that is not whole, or whose digest is
 * another one, is refused before anything is stored (of a stream that is only known at its end).
 *
 * It begins when it is awaited, or when its progress is asked for.
 *
 * @param from the name of the file, or a stream
 * @throws InvalidArgumentError if an option is wrong
 */
export declare function importFromFile(from: string | Readable, store: SagaStore, options?: ImportFileOptions): Transfer;
interface Side {
	states: SagaStates;
	records: Records;
}
/** Saga state while it is moved: see `migrating`. Its methods are those of `SagaStates`, but for lists. */
export declare class MigratingStates {
	#private;
	/** @internal */
	constructor(oldSide: Side, newSide: Side);
	/** The state, or null. */
	getById<T extends object = SagaState>(sagaName: string, sagaId: string): Promise<Stored<T> | null>;
	/** The state, or null. */
	getByCorrelationId<T extends object = SagaState>(sagaName: string, correlationId: string): Promise<Stored<T> | null>;
	/** `getById`, as in `SagaStates`. */
	findById<T extends object = SagaState>(sagaName: string, sagaId: string): Promise<Stored<T> | null>;
	/** `getByCorrelationId`, as in `SagaStates`. */
	findByCorrelationId<T extends object = SagaState>(sagaName: string, correlationId: string): Promise<Stored<T> | null>;
	/**
	 * Stores a new saga in the new store.
	 *
	 * @throws AlreadyExistsError if one of its ids is taken in either store
	 */
	insert<T extends object>(sagaName: string, correlationId: string, state: T & SagaState): Promise<void>;
	/**
	 * Replaces the state in the new store, if its version is the expected one. A saga that only the old store has is moved
	 * first.
	 *
	 * @throws ConcurrencyError, NotFoundError
	 */
	update<T extends object>(sagaName: string, state: T & SagaState, expectedVersion: number): Promise<void>;
	/** As in `SagaStates`, in the new store. A saga that only the old store has is moved first. */
	modify<T extends object = SagaState>(sagaName: string, sagaId: string, change: (state: Stored<T>) => T | Promise<T>, options?: ModifyOptions): Promise<Stored<T>>;
	/** As in `SagaStates`: inserts a state that has no version, and updates the saga of one that has. */
	save<T extends object>(sagaName: string, state: T): Promise<Stored<T>>;
	/** Removes the saga, if there is one. One that the old store has leaves a tombstone in the new store. */
	delete(sagaName: string, sagaId: string): Promise<void>;
	/** Removes the saga, if there is one. */
	deleteByCorrelationId(sagaName: string, correlationId: string): Promise<void>;
}
/**
 * A store for an application that goes on while its records are moved: see `migrating`. It has the methods of the engine's
 * adapter, and saga state.
 */
export declare class MigratingStore implements SagaStoreAdapter {
	#private;
	/** @internal */
	constructor(oldStore: SagaStore, newStore: SagaStore);
	/** The state of sagas, under the same rules. */
	get states(): MigratingStates;
	/** Initializes the new store. */
	initialize(): Promise<void>;
	/** Removes from the new store what has expired. */
	cleanup(): Promise<void>;
	/** Stores a payload in the new store. */
	put(id: string, data: Uint8Array, expiresAt?: Date, options?: PutOptions): Promise<void>;
	/**
	 * The payload.
	 *
	 * @throws NotFoundError if neither store has it, or if it was deleted
	 */
	get(id: string): Promise<Buffer>;
	/** The payload, or null if there is none. */
	find(id: string): Promise<Buffer | null>;
	/** Whether there is a payload. */
	has(id: string): Promise<boolean>;
	/** Removes a payload; whether there was one. One that the old store has leaves a tombstone in the new store. */
	delete(id: string): Promise<boolean>;
	/** Sets another expiry; whether there was a payload. One that only the old store has is moved first. */
	touch(id: string, expiresAt: Date): Promise<boolean>;
	/**
	 * Ends the move: removes the tombstones from the new store, and answers how many there were. Call it when all records
	 * have been moved and every process works with the new store alone: this store would find again in the old one what was
	 * deleted. Meanwhile nobody may put a payload under an id that was deleted during the move: it could be removed.
	 */
	finish(): Promise<number>;
}
/**
 * A store for an application that goes on while `transfer(oldStore, newStore)` moves its records, with `onConflict:
 * 'skip-existing'`, which is the default. All processes of the application use it before the move begins.
 *
 * - Writes go to the new store. An update of a saga that only the old store has moves it first.
 * - Reads look in the new store first, then in the old one.
 * - What is deleted, and is in the old store, leaves a tombstone of its id in the new store, so that the move does not
 *   bring it back. `finish()` removes the tombstones.
 *
 * Inserting a saga looks for both of its ids in the old store, too. Executions, outbox and inbox are not moved this way:
 * workers of the old store work off what is there, and then it is moved.
 */
export declare function migrating(oldStore: SagaStore, newStore: SagaStore): MigratingStore;
/**
 * Compares two stores, record by record: the raw bytes of payloads and all fields of the others. JSON is compared as JSON:
 * in PostgreSQL the order of its keys is another one. What has expired is left out. Nothing is written, and neither side
 * is blocked: what changes meanwhile may be told as different.
 *
 * @throws InvalidArgumentError if an option is wrong
 */
export declare function verify(source: SagaStore, target: SagaStore, options?: VerifyOptions): Promise<Verification>;
/** What subscribers of the tracing channel `sagastore:operation` are given. */
export interface OperationContext {
	operation: string;
	backend: BackendName;
	id?: string;
	routingSlipId?: string;
	/** Bytes of the payload: at the start of a put, at the end of a get. */
	bytes?: number;
	/** Names and values of OpenTelemetry's semantic conventions for database spans. */
	attributes: Record<string, string | number>;
}
/**
 * Runs `work`. In it the operations of every store of that kind of database join `transaction`: they are committed or
 * rolled back with it, whether the store was made from a URL or from a client. Stores of other kinds of database do
 * not join. The application begins, commits and rolls back.
 *
 * @param transaction what the library gives: a `pg` client, the `tx` of Prisma's, Drizzle's, Kysely's or
 *   Knex's transaction, postgres.js's `sql` of `sql.begin`, a better-sqlite3 or node:sqlite handle, a
 *   `multi()` of ioredis or node-redis, a MongoDB `ClientSession`, or an array of DynamoDB's `TransactItems`.
 *   A client, handle or session that is in no transaction when an operation runs: `INVALID_ARGUMENT`, nothing is stored
 * @param work runs at once. Operations that it starts and does not wait for are `CLOSED` once it has ended
 * @returns what `work` returns; a promise of it if `work` is asynchronous
 * @throws InvalidArgumentError if `transaction` cannot be recognised
 */
export declare function withTransaction<T>(transaction: unknown, work: () => T): T;
/** Payloads in the process's own memory. */
export declare class MemorySagaStore extends SagaStore {
	constructor(...args: [
		options?: string | MemoryStoreOptions
	]);
}
/** Payloads in an SQLite file. */
export declare class SqliteSagaStore extends SagaStore {
	constructor(...args: [
		options: string | SqliteStoreOptions
	]);
}
/** Payloads in PostgreSQL. */
export declare class PostgresSagaStore extends SagaStore {
	constructor(...args: [
		options: string | PostgresStoreOptions
	]);
}
/** Payloads in Redis: a single server, Sentinel or Cluster. */
export declare class RedisSagaStore extends SagaStore {
	constructor(...args: [
		options: string | RedisStoreOptions
	]);
}
/** Payloads in MongoDB, or a server that speaks its protocol. */
export declare class MongoSagaStore extends SagaStore {
	constructor(...args: [
		options: string | MongoStoreOptions
	]);
}
/** Payloads in a DynamoDB table: `initialize` creates it and switches its TTL on. */
export declare class DynamoDBSagaStore extends SagaStore {
	constructor(...args: [
		options: string | DynamoDBStoreOptions
	]);
}
/** Opens the store that the URL's scheme names, or that works on the client given. */
export declare function openStore(...args: [
	options: string | AnyStoreOptions
]): SagaStore;

export {};

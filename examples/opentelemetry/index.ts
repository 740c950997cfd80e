// A span for each operation of a store, from the tracing channel `sagastore:operation`: the names are those of OpenTelemetry's
// conventions for databases. The spans are printed here; an application gives its provider an exporter.
//   npm start
import { type TracingChannelSubscribers, tracingChannel } from 'node:diagnostics_channel'
import { context, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import { MemorySagaStore, type OperationContext } from 'sagastore'

const exporter = new InMemorySpanExporter()
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
provider.register()

const tracer = trace.getTracer('sagastore')
const spans = new WeakMap<object, Span>()

/** Each call has an object of its own, which is the same in all events of that call. */
const subscribers: TracingChannelSubscribers<OperationContext> = {
  start(operation) {
    const { attributes } = operation
    const name = String(attributes['db.operation.name'])
    // The span that is active where the store is called is its parent.
    spans.set(operation, tracer.startSpan(`sagastore ${name}`, { kind: SpanKind.CLIENT, attributes }, context.active()))
  },
  end() {},
  asyncStart() {},
  asyncEnd(operation) {
    const { bytes } = operation
    const span = spans.get(operation)
    if (bytes !== undefined) span?.setAttribute('sagastore.bytes', bytes)
    span?.end()
  },
  error(operation) {
    const span = spans.get(operation)
    const { error } = operation as { error?: Error & { code?: string } }
    span?.setAttribute('error.type', error?.code ?? 'unknown')
    span?.setStatus({ code: SpanStatusCode.ERROR, message: error?.message })
  },
}
tracingChannel<unknown, OperationContext>('sagastore:operation').subscribe(subscribers)

const store = new MemorySagaStore()
await tracer.startActiveSpan('place order 4711', async (span) => {
  await store.put('slip-4711-1', Buffer.from('a routing slip'))
  await store.get('slip-4711-1')
  await store.get('slip-4712-1').catch(() => undefined)
  span.end()
})
await store.close()

await provider.forceFlush()
const finished = exporter.getFinishedSpans()
const parent = finished.find(({ name }) => name === 'place order 4711')
for (const { name, attributes, parentSpanContext, status } of finished) {
  const below = parentSpanContext?.spanId === parent?.spanContext().spanId ? '  ' : ''
  const failed = status.code === SpanStatusCode.ERROR ? ` failed: ${attributes['error.type']}` : ''
  console.log(`${below}${name} ${attributes['db.system.name'] ?? ''} ${attributes['sagastore.bytes'] ?? ''}${failed}`.trimEnd())
}
await provider.shutdown()

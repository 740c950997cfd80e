import type { SagaStore } from 'sagastore'

/**
 * `statistics()` in Prometheus' text format. It counts what is stored, and so reads whole tables: have it asked for once a
 * minute, not once a second.
 */
export async function metricsOf(store: SagaStore): Promise<string> {
  const { payloads, outbox, pool, operations } = await store.statistics()
  const lines: string[] = []
  const gauge = (name: string, value: number | null | undefined) => {
    if (value !== null && value !== undefined) lines.push(`# TYPE sagastore_${name} gauge`, `sagastore_${name} ${value}`)
  }
  gauge('payloads', payloads.count)
  gauge('payload_bytes', payloads.bytes)
  gauge('payloads_expired', payloads.expired)
  gauge('outbox_ready', outbox?.ready)
  gauge('outbox_dead', outbox?.dead)
  gauge('outbox_oldest_ready_ms', outbox?.oldestReadyMs)
  gauge('pool_in_use', pool?.inUse)
  gauge('pool_waiting', pool?.waiting)
  lines.push('# TYPE sagastore_operations_total counter')
  for (const [name, { count }] of Object.entries(operations)) lines.push(`sagastore_operations_total{operation="${name}"} ${count}`)
  lines.push('# TYPE sagastore_errors_total counter')
  for (const [name, { errors }] of Object.entries(operations)) lines.push(`sagastore_errors_total{operation="${name}"} ${errors}`)
  lines.push('# TYPE sagastore_operation_ms gauge')
  for (const [name, { p50Ms, p99Ms }] of Object.entries(operations)) {
    lines.push(`sagastore_operation_ms{operation="${name}",quantile="0.5"} ${p50Ms}`)
    lines.push(`sagastore_operation_ms{operation="${name}",quantile="0.99"} ${p99Ms}`)
  }
  return `${lines.join('\n')}\n`
}

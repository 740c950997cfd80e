// The same entry from a CommonJS file.
import sagastore = require('sagastore')

import { type Health, openStore } from 'sagastore'

export function health(): Promise<Health> {
  const store: sagastore.SagaStore = openStore('memory://')
  return store.health()
}

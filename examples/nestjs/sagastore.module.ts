import { type DynamicModule, Inject, Injectable, Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common'
import { type AnyStoreOptions, openStore, SagaStore } from 'sagastore'

/** Initializes the store before the application takes requests, and closes it behind the last one. */
@Injectable()
class StoreLifecycle implements OnModuleInit, OnApplicationShutdown {
  constructor(@Inject(SagaStore) private readonly store: SagaStore) {}

  onModuleInit(): Promise<void> {
    return this.store.initialize()
  }

  onApplicationShutdown(): Promise<void> {
    return this.store.close()
  }
}

/** `imports: [SagaStoreModule.forRoot('postgres://...')]`; then `SagaStore` can be injected everywhere. */
@Module({})
// biome-ignore lint/complexity/noStaticOnlyClass: so Nest's modules with options are written
export class SagaStoreModule {
  static forRoot(options: string | AnyStoreOptions): DynamicModule {
    return {
      module: SagaStoreModule,
      global: true,
      providers: [{ provide: SagaStore, useFactory: () => openStore(options) }, StoreLifecycle],
      exports: [SagaStore],
    }
  }
}

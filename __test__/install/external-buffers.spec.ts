// Electron, and every V8 with a sandbox, refuses buffers whose memory is not V8's own. Electron needs a display, so a library in
// front of Node.js refuses them here as it does: `napi_no_external_buffers_allowed`.
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { machineTarget } from '../../scripts/pack.mjs'
import { entry } from '../support/programs'

const hasCompiler = () => {
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
const canRefuse = machineTarget().endsWith('-gnu') && hasCompiler()
if (!canRefuse) console.warn('SKIPPED: the refusal of external buffers (it takes glibc and a C compiler)')

// The addon asks the system for each function of Node-API by its name: there it is given another one.
const shim = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stddef.h>
#include <string.h>
static int refused = 0;
static int refuse(void *env, size_t length, void *data, void *finalize, void *hint, void **result) {
  refused++;
  return 22; /* napi_no_external_buffers_allowed */
}
void *dlsym(void *library, const char *name) {
  static void *(*real)(void *, const char *) = NULL;
  const char *versions[] = {"GLIBC_2.34", "GLIBC_2.17", "GLIBC_2.2.5"};
  for (int at = 0; real == NULL && at < 3; at++) real = dlvsym(RTLD_NEXT, "dlsym", versions[at]);
  if (strcmp(name, "napi_create_external_buffer") == 0) return (void *)refuse;
  return real(library, name);
}
__attribute__((destructor)) static void tell(void) { fprintf(stderr, "refused %d\\n", refused); }
`

const program = `
const { openStore } = require(${JSON.stringify(entry)})
const { randomBytes } = require('node:crypto')
;(async () => {
  for (const url of process.argv.slice(1)) {
    const store = openStore({ url, ...(url.startsWith('redis') ? { namespace: 'refused_' + randomBytes(4).toString('hex') } : {}) })
    await store.initialize()
    const sizes = [0, 100, 8_192, 40_000, 300_000, 3_000_000]
    for (let round = 0; round < 3; round += 1) {
      const payloads = sizes.map((size, n) => ({ id: 'p-' + n, data: randomBytes(size), expiresAt: new Date(Date.now() + 60_000) }))
      await store.putMany(payloads)
      const read = await Promise.all(payloads.map(({ id }) => store.get(id)))
      read.forEach((data, n) => {
        if (!data.equals(payloads[n].data)) throw new Error(url + ': other bytes of ' + sizes[n])
        data.fill(1) // is the caller's alone
      })
      if (!(await store.get('p-4')).equals(payloads[4].data)) throw new Error(url + ': shared bytes')
    }
    await store.delete('p-0')
    await store.close()
  }
  console.log('the same bytes')
})()
`

describe.skipIf(!canRefuse)('a runtime that refuses external buffers', () => {
  let folder: string
  let library: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sagastore-refused-'))
    library = join(folder, 'refuse.so')
    writeFileSync(join(folder, 'refuse.c'), shim)
    execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(folder, 'refuse.c')])
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const run = (env: NodeJS.ProcessEnv) => {
    const urls = ['memory://', 'sqlite::memory:', ...(process.env.REDIS_URL === undefined ? [] : [process.env.REDIS_URL])]
    return promisify(execFile)(process.execPath, ['-e', program, ...urls], { env: { ...process.env, ...env } })
  }

  it('gets copies', async () => {
    const { stdout, stderr } = await run({ LD_PRELOAD: library })
    expect(stdout).toBe('the same bytes\n')
    expect(Number(/refused (\d+)/.exec(stderr)?.[1])).toBeGreaterThan(10)
  })
})

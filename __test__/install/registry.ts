import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A package as a registry answers it. Without a tarball it can be looked up but not fetched. */
export interface Published {
  manifest: { name: string; version: string }
  tarball?: string
}

/** An npm registry on this machine that knows these packages only. */
export async function startRegistry(packages: Published[]): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    const [, name = '', isTarball] = (request.url ?? '').split('/')
    const found = packages.find(({ manifest }) => manifest.name === decodeURIComponent(name))
    if (!found || (isTarball && !found.tarball)) response.writeHead(404).end('{}')
    else if (isTarball) response.end(readFileSync(found.tarball as string))
    else response.setHeader('content-type', 'application/json').end(JSON.stringify(packument(found, url)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, close: () => server.close() }
}

function packument({ manifest, tarball }: Published, registry: string): object {
  const { name, version } = manifest
  const bytes = tarball ? readFileSync(tarball) : Buffer.alloc(0)
  const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
  const dist = { tarball: `${registry}/${name}/${version}.tgz`, integrity }
  return { name, 'dist-tags': { latest: version }, versions: { [version]: { ...manifest, dist } } }
}

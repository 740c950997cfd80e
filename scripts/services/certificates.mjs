import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findOnPath, findOrInstall } from './install.mjs'

// A configuration of our own: with the system's, openssl would add some extensions twice, and rustls
// refuses such certificates.
const CONFIGURATION = `
[req]
prompt = no
distinguished_name = ca_name
x509_extensions = ca
[ca_name]
CN = sagastore test CA
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
authorityKeyIdentifier = keyid
`

/**
 * A CA and a server certificate for localhost and 127.0.0.1, valid for a week.
 *
 * @param {string} directory
 * @returns {Promise<{ caFile: string, certFile: string, keyFile: string }>}
 */
export async function makeCertificates(directory) {
  const openssl = await findOrInstall({ find: () => findOnPath('openssl'), package: 'openssl', brew: 'openssl' })
  const file = (/** @type {string} */ name) => join(directory, name)
  const run = (/** @type {string} */ args) => execFileSync(openssl, args.split(' '), { cwd: directory, stdio: 'pipe' })
  writeFileSync(file('openssl.cnf'), CONFIGURATION)
  const key = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
  run(`req -x509 -config openssl.cnf ${key} -keyout ca.key -out ca.crt -days 7 -sha256`)
  run(`req -new -config openssl.cnf ${key} -keyout server.key -out server.csr -subj /CN=localhost`)
  run(
    'x509 -req -in server.csr -CA ca.crt -CAkey ca.key -set_serial 1 -days 7 -sha256 -extfile openssl.cnf -extensions server -out server.crt',
  )
  return { caFile: file('ca.crt'), certFile: file('server.crt'), keyFile: file('server.key') }
}

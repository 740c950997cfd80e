// `npm publish --dry-run` of the main package and of all platform packages, without a network: npm must accept each manifest
// as it stands. The platform packages are packed with an empty file in place of the addon: __test__/install packs and installs the real one.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { allTargets, npmCli, pack } from './pack.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const scratch = mkdtempSync(join(tmpdir(), 'sagastore-publish-'))
try {
  const userConfig = join(scratch, 'npmrc')
  // Nothing listens there: what is not known on this machine is a failure.
  writeFileSync(userConfig, `registry=http://127.0.0.1:9/\noffline=true\ncache=${join(scratch, 'cache')}\nupdate-notifier=false\n`)
  for (const target of allTargets) writeFileSync(join(scratch, `sagastore.${target}.node`), '')
  const tarballs = pack(join(scratch, 'packages'), { targets: allTargets, addons: scratch })
  for (const tarball of tarballs) publish(tarball, userConfig)
  if (readdirSync(join(scratch, 'packages')).length !== allTargets.length + 1) throw new Error('a package is missing')
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

/**
 * @param {string} tarball
 * @param {string} userConfig
 */
function publish(tarball, userConfig) {
  // The version's tag, as the release workflow gives it: npm refuses `latest` for a prerelease.
  const tag = version.includes('-') ? 'next' : 'latest'
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [npmCli(), 'publish', tarball, '--dry-run', '--access', 'public', '--tag', tag],
    {
      encoding: 'utf8',
      // A folder without a package.json, and nothing of the outer npm.
      cwd: dirname(tarball),
      env: { PATH: process.env.PATH, HOME: process.env.HOME, SystemRoot: process.env.SystemRoot, npm_config_userconfig: userConfig },
    },
  )
  // npm mends what it does not like, and says so. A package that needs mending is none to publish.
  const complaints = stderr.split('\n').filter((line) => /npm (warn|error)/i.test(line) && !line.includes('requires you to be logged in'))
  if (status !== 0 || complaints.length > 0) throw new Error(`${basename(tarball)}: ${complaints.join('\n') || stderr}`)
  console.log(`${stdout.trim()} can be published`)
}

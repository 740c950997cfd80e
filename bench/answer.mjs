// The child's side of `runTrial`.

/**
 * Runs the one task that the parent sends, answers with what it came to, and lets the process end.
 *
 * @template Task
 * @param {(task: Task) => Promise<unknown>} run
 */
export function answerTask(run) {
  const onOrphaned = () => process.exit(1)
  process.once('disconnect', onOrphaned)
  process.once('message', async (/** @type {Task} */ task) => {
    try {
      process.send?.({ result: await run(task) })
    } catch (error) {
      process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
      process.exitCode = 1
    }
    process.off('disconnect', onOrphaned)
    process.disconnect()
  })
}

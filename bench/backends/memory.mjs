/** @type {import('./index.mjs').Backend} */
export const backend = {
  keepsData: false,
  candidates: [
    { name: 'Map', module: 'map', peer: 'Map', operations: ['put', 'get'] },
    { name: 'sagastore', module: 'sagastore', peer: 'Map', operations: ['put', 'get'] },
  ],
  async enter() {
    return {
      place: () => ({}),
      settle: async () => {},
      clear: async () => {},
      describe: async () => ({}),
      close: async () => {},
    }
  },
}

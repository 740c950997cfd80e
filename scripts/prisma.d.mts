export function generatePrismaClient(models: string, provider: 'postgresql' | 'sqlite'): string
export const TEST_MODELS: string

/** What the server tells, cached and shared by the screens. */

import { chatterboxErrorOf, type Model } from '@chatterbox/client';
import { QueryClient, queryOptions, useQuery } from '@tanstack/react-query';
import { chatterbox } from './rpc';
import { useSettings } from './settings-store';

/** Lost servers come back on their own; what is wrong with a request does not. */
function mayRetry(count: number, reason: unknown): boolean {
  const { kind } = chatterboxErrorOf(reason);
  return count < 2 && (kind === 'unavailable' || kind === 'timeout' || kind === 'overloaded');
}

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      retry: mayRetry,
      retryDelay: (count) => 300 * 2 ** count,
      staleTime: 10_000,
      networkMode: 'always', // the server may be on this very machine
    },
  },
});

/** Which server, and as whom: answers to one are not those of another. */
type Access = readonly [address: string, apiKey: string];

function useAccess(): Access {
  const address = useSettings((settings) => settings.address);
  const apiKey = useSettings((settings) => settings.apiKey);
  return [address, apiKey];
}

export function useVoices() {
  return useQuery({
    queryKey: ['voices', ...useAccess()],
    queryFn: ({ signal }) => chatterbox().voices.list({ signal }),
  });
}

function modelsFor(access: Access) {
  return queryOptions({
    queryKey: ['models', ...access],
    queryFn: ({ signal }) => chatterbox().models.list({ signal }),
  });
}

export function useModels() {
  return useQuery(modelsFor(useAccess()));
}

/** The models, at once where a screen knows them already. */
export async function loadModels(): Promise<readonly Model[]> {
  const { address, apiKey } = useSettings.getState();
  return await queryClient.ensureQueryData(modelsFor([address, apiKey]));
}

const CALM_MS = 5_000;
const ANXIOUS_MS = 1_000;

export type Connection = 'connecting' | 'ok' | 'lost' | 'no-key' | 'wrong-key';

/** Whether the server answers: asked all the time, and more often when it does not. */
export function useConnection(): Connection {
  const hasKey = useSettings((settings) => settings.apiKey !== '');
  const { data, error } = useQuery({
    queryKey: ['connection', ...useAccess()],
    queryFn: async ({ signal }) => {
      await chatterbox().models.list({ signal, timeoutMs: 4_000 });
      return true;
    },
    retry: false,
    staleTime: 0,
    refetchOnReconnect: true,
    refetchInterval: (query) => (query.state.status === 'error' ? ANXIOUS_MS : CALM_MS),
  });
  if (error) {
    const { kind } = chatterboxErrorOf(error);
    if (kind === 'unauthenticated') return hasKey ? 'wrong-key' : 'no-key';
    return kind === 'unavailable' || kind === 'timeout' ? 'lost' : 'ok';
  }
  return data ? 'ok' : 'connecting';
}

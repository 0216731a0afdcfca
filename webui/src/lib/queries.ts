/** What the server tells, cached and shared by the screens. */

import { chatterboxErrorOf } from '@chatterbox/client';
import { QueryClient, useQuery } from '@tanstack/react-query';
import { chatterbox } from './rpc';
import { useSettings } from './settings-store';

/** Lost servers come back on their own; what is wrong with a request does not. */
function mayRetry(count: number, reason: unknown): boolean {
  const { kind } = chatterboxErrorOf(reason);
  return count < 2 && (kind === 'unavailable' || kind === 'timeout' || kind === 'overloaded');
}

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: { retry: mayRetry, retryDelay: (count) => 300 * 2 ** count, staleTime: 10_000 },
  },
});

/** Which server, and as whom: answers to one are not those of another. */
function useAccess(): readonly [string, string] {
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

export function useModels() {
  return useQuery({
    queryKey: ['models', ...useAccess()],
    queryFn: ({ signal }) => chatterbox().models.list({ signal }),
  });
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
    networkMode: 'always',
    refetchInterval: (query) => (query.state.status === 'error' ? ANXIOUS_MS : CALM_MS),
  });
  if (error) {
    const { kind } = chatterboxErrorOf(error);
    if (kind === 'unauthenticated') return hasKey ? 'wrong-key' : 'no-key';
    return kind === 'unavailable' || kind === 'timeout' ? 'lost' : 'ok';
  }
  return data ? 'ok' : 'connecting';
}

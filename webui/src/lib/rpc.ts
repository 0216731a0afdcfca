/** The one client of the page, made anew when the address changes. */

import { type Chatterbox, createChatterbox } from '@chatterbox/client';
import { useSettings } from './settings-store';

let current: { readonly address: string; readonly client: Chatterbox } | undefined;

/** Where the service is. */
export function serviceUrl(): string {
  return useSettings.getState().address.replace(/\/+$/, '') || location.origin;
}

export function apiKey(): string | undefined {
  return useSettings.getState().apiKey.trim() || undefined;
}

export function chatterbox(): Chatterbox {
  const address = serviceUrl();
  if (current?.address !== address) {
    current = { address, client: createChatterbox({ baseUrl: address, apiKey }) };
  }
  return current.client;
}

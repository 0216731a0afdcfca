/** Deletes all that this page keeps in the browser, and begins anew. */
export async function forgetEverything(): Promise<void> {
  for (const key of Object.keys(localStorage)) {
    if (key.startsWith('chatterbox-')) localStorage.removeItem(key);
  }
  const databases = (await indexedDB.databases?.()) ?? [];
  for (const { name } of databases) {
    if (name?.startsWith('chatterbox-')) indexedDB.deleteDatabase(name);
  }
  location.reload();
}

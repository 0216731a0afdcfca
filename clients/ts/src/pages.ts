/** Lists that come in pages. */

const PAGE_SIZE = 1_000; // the most that the server gives at once
const MAX_PAGES = 100;

export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

/** All items of a list; it ends after 100,000 of them, whatever the server says. */
export async function allPages<Page extends { readonly nextPageToken: string }, Item>(
  fetchPage: (request: PageRequest) => Promise<Page>,
  itemsOf: (page: Page) => readonly Item[],
): Promise<Item[]> {
  const items: Item[] = [];
  let pageToken = '';
  for (let count = 0; count < MAX_PAGES; count += 1) {
    const page = await fetchPage({ pageSize: PAGE_SIZE, pageToken });
    items.push(...itemsOf(page));
    pageToken = page.nextPageToken;
    if (pageToken === '') break;
  }
  return items;
}

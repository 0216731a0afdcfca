import { cleanup, fireEvent, render, screen } from '@testing-library/react';
import { afterEach, expect, test, vi } from 'vitest';
import { DropArea } from './drop-area';

const file = new File(['sound'], 'a.wav');
const dropped = { dataTransfer: { files: [file] } };

afterEach(cleanup);

test('takes a file that is dropped anywhere', () => {
  const take = vi.fn();
  render(<DropArea onFile={take}>text</DropArea>);
  fireEvent.dragOver(screen.getByText('text'));
  expect(screen.getByText('text').className).toContain('outline-accent');
  fireEvent.drop(screen.getByText('text'), dropped);
  expect(take).toHaveBeenCalledExactlyOnceWith(file);
  expect(screen.getByText('text').className).not.toContain('outline-accent');
});

test('leaves what something inside has taken', () => {
  const take = vi.fn();
  render(
    <DropArea onFile={take}>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: as in recording-source */}
      <div onDrop={(event) => event.preventDefault()}>inside</div>
    </DropArea>,
  );
  fireEvent.dragOver(screen.getByText('inside'));
  fireEvent.drop(screen.getByText('inside'), dropped);
  expect(take).not.toHaveBeenCalled();
  expect(screen.getByText('inside').parentElement?.className).not.toContain('outline-accent');
});

/** A measured value with its name, in a `<dl>`. */
export function Figure({
  name,
  hint,
  value,
}: {
  readonly name: string;
  readonly hint: string;
  readonly value: string;
}) {
  return (
    <div className="flex gap-1.5" title={hint}>
      <dt>{name}</dt>
      <dd className="tabular min-w-9 font-medium text-ink">{value}</dd>
    </div>
  );
}

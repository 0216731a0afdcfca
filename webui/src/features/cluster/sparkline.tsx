/** A small curve of what was, the newest at the right. */
export function Sparkline({
  label,
  values,
  length,
  most,
}: {
  readonly label: string;
  readonly values: readonly number[];
  readonly length: number;
  readonly most: number;
}) {
  const top = Math.max(most, ...values);
  const points = values.map((value, index) => {
    const x = ((length - values.length + index + 1) / length) * 100;
    return `${x.toFixed(2)},${(29 - (value / top) * 27).toFixed(2)}`;
  });
  const last = values.at(-1) ?? 0;
  const begin = ((length - values.length + 1) / length) * 100;
  return (
    <svg
      viewBox="0 0 100 30"
      preserveAspectRatio="none"
      role="img"
      aria-label={`${label}: ${last}`}
      className="h-10 min-w-40 grow text-accent"
    >
      <path d="M0 29H100" stroke="var(--line)" vectorEffect="non-scaling-stroke" />
      {points.length > 1 && (
        <>
          <polygon points={`${begin},29 ${points.join(' ')} 100,29`} fill="var(--accent-soft)" />
          <polyline
            points={points.join(' ')}
            fill="none"
            stroke="currentColor"
            strokeWidth="1.5"
            vectorEffect="non-scaling-stroke"
          />
        </>
      )}
    </svg>
  );
}

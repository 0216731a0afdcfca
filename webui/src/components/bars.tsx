/** A small outline of a sound that is kept, as a picture without a script of its own. */
export function Bars({
  bars,
  className,
}: {
  readonly bars: readonly number[];
  readonly className?: string;
}) {
  const path = bars
    .map((peak, index) => {
      const half = Math.max(0.6, Math.sqrt(peak) * 10);
      return `M${index * 2 + 1} ${10 - half}V${10 + half}`;
    })
    .join('');
  return (
    <svg
      viewBox={`0 0 ${Math.max(1, bars.length) * 2} 20`}
      preserveAspectRatio="none"
      aria-hidden
      className={className}
    >
      <path d={path} stroke="currentColor" strokeWidth="1.2" fill="none" />
    </svg>
  );
}

// Charts of the last minute, one value a second.

import { few } from '../format';

const WIDTH = 560;
const HEIGHT = 120;

interface Props {
  title: string;
  unit: string;
  /** Oldest first; undefined where there is nothing to show. */
  values: (number | undefined)[];
  kind: 'line' | 'bars';
  now: number | undefined;
}

/** A round number at or above `value`, so that the scale does not jump with every second. */
function ceiling(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10) * power;
}

export function Chart({ title, unit, values, kind, now }: Props) {
  const known = values.filter((value) => value !== undefined);
  const top = ceiling(Math.max(...known, 0));
  const step = WIDTH / values.length;
  const y = (value: number) => HEIGHT - (value / top) * (HEIGHT - 8);
  const summary = known.length === 0 ? 'nothing in the last minute' : `${few(Math.min(...known))} to ${few(Math.max(...known))} ${unit} in the last minute`;
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="chart-now">
          {now === undefined ? '–' : few(now)} <small>{unit}</small>
        </span>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${title}: ${summary}`}>
        <line class="chart-grid" x1="0" x2={WIDTH} y1={y(top)} y2={y(top)} />
        <line class="chart-grid" x1="0" x2={WIDTH} y1={y(top / 2)} y2={y(top / 2)} />
        {kind === 'bars' ? <path class="chart-bars" d={bars(values, step, y)} /> : <Line values={values} step={step} y={y} />}
      </svg>
      <div class="chart-scale" aria-hidden="true">
        <span>one minute ago</span>
        <span>
          top: {few(top)} {unit}
        </span>
        <span>now</span>
      </div>
    </figure>
  );
}

function bars(values: (number | undefined)[], step: number, y: (value: number) => number): string {
  return values
    .map((value, at) => (value ? `M${(at * step + 1).toFixed(1)} ${HEIGHT}V${y(value).toFixed(1)}h${(step - 2).toFixed(1)}V${HEIGHT}Z` : ''))
    .join('');
}

function Line({ values, step, y }: { values: (number | undefined)[]; step: number; y: (value: number) => number }) {
  const runs: [number, number][][] = [[]];
  for (const [at, value] of values.entries()) {
    if (value === undefined) runs.push([]);
    else runs.at(-1)!.push([(at + 0.5) * step, y(value)]);
  }
  const points = (run: [number, number][]) => run.map(([x, at]) => `${x.toFixed(1)} ${at.toFixed(1)}`).join('L');
  const whole = runs.filter((run) => run.length > 0);
  return (
    <>
      <path class="chart-area" d={whole.map((run) => `M${run[0]![0].toFixed(1)} ${HEIGHT}L${points(run)}L${run.at(-1)![0].toFixed(1)} ${HEIGHT}Z`).join('')} />
      <path class="chart-line" d={whole.map((run) => `M${points(run)}${run.length === 1 ? 'h.1' : ''}`).join('')} />
    </>
  );
}

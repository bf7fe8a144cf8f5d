import { type BlockView, callAll } from '../api';
import { grouped } from '../format';
import { useLive } from '../live';
import { BlockRows } from '../parts/blocks';
import { Card, Loading, Page, Show, useLoad } from '../parts/common';

const ROWS = 25;

/** The newest ones live, or those up to a height. */
export function Blocks({ to }: { to: number | undefined }) {
  return (
    <Page title="Blocks" lead="One small certificate makes a block final, and with it everything before. Nothing final is ever replaced.">
      {to === undefined ? <Newest /> : <Earlier to={to} />}
    </Page>
  );
}

function Newest() {
  const { blocks, cluster } = useLive();
  if (!cluster) return <Loading />;
  const lowest = Math.min(...blocks.map((block) => block.height), cluster.status.finalized_height + 1);
  const shown = blocks.slice(0, ROWS);
  const next = shown.length === ROWS ? shown.at(-1)!.height - 1 : lowest - 1;
  return (
    <Card>
      <BlockRows blocks={shown} />
      <nav class="pager" aria-label="Pages">
        <span>Live</span>
        {next > 0 && <a href={`#/blocks?to=${next}`}>Earlier blocks</a>}
      </nav>
    </Card>
  );
}

function Earlier({ to }: { to: number }) {
  const heights = Array.from({ length: ROWS }, (_, at) => to - at).filter((height) => height >= 0);
  const loaded = useLoad(() => callAll<BlockView>('baton_block', heights.map((block) => ({ block }))), [to]);
  const none = `No finalized block up to height ${grouped(to)} on this node. It may not be there yet, or it is pruned here.`;
  return (
    <Card>
      <Show loaded={loaded}>
        {(blocks) => (
          <>
            <BlockRows blocks={blocks} none={none} />
            <nav class="pager" aria-label="Pages">
              <a href="#/blocks">Live</a>
              <a href={`#/blocks?to=${to + ROWS}`}>Later</a>
              {to >= ROWS && <a href={`#/blocks?to=${to - ROWS}`}>Earlier</a>}
            </nav>
          </>
        )}
      </Show>
    </Card>
  );
}

import { type Epoch, type Validator, call } from '../api';
import { grouped } from '../format';
import { useLive } from '../live';
import { Card, Facts, Hex, Member, Page, Show, Table, useLoad } from '../parts/common';
import { CONDITIONS, conditionOf } from '../parts/ring';

const EVERY_MS = 2_000;

export function Validators() {
  const epoch = useLoad(() => call<Epoch>('baton_epoch'), [], EVERY_MS);
  const members = useLoad(() => call<Validator[]>('baton_validators'), [], EVERY_MS);
  return (
    <Page title="Validators" lead="Known operators that hold shares of one key. Who commits and who builds is drawn anew in every view.">
      <Card title="Epoch">
        <Show loaded={epoch}>{(value) => <EpochFacts epoch={value} />}</Show>
      </Card>
      <Card title="Members">
        <Show loaded={members}>{(value) => <Members members={value} />}</Show>
      </Card>
    </Page>
  );
}

function EpochFacts({ epoch }: { epoch: Epoch }) {
  const { cluster } = useLive();
  const height = cluster?.status.finalized_height ?? epoch.first_height;
  const size = epoch.last_height - epoch.first_height + 1;
  const done = Math.min(size, Math.max(0, height - epoch.first_height + 1));
  return (
    <>
      <div class="progress-line">
        <label for="epoch-progress">
          Epoch {grouped(epoch.epoch)}: block {grouped(done)} of {grouped(size)}
        </label>
        <progress id="epoch-progress" max={size} value={done} />
      </div>
      <Facts
        rows={[
          ['Heights', `${grouped(epoch.first_height)} to ${grouped(epoch.last_height)}`],
          ['Holders of the key', grouped(epoch.holders)],
          ['Votes for a certificate', `${grouped(epoch.quorum)}; ${grouped(epoch.faults)} may fail or lie`],
          ['Election', epoch.election],
          ['Group key', <Hex value={epoch.group_key} />],
        ]}
      />
    </>
  );
}

function Members({ members }: { members: Validator[] }) {
  const { cluster } = useLive();
  const head = ['Member', 'State', 'Authored', 'Drawn', 'Reveals', 'Single proofs', 'Turns missed', 'Benched', 'Suspended', 'Weight', 'Address', 'Identity'];
  return (
    <>
      <Table label="Members" head={head}>
        {members.map((member) => {
          const sight = cluster?.members[member.index];
          const condition = conditionOf(sight ?? { ...member, connected: null, clock_ahead_ms: null });
          const { epoch, since_start: start } = member;
          return (
            <tr key={member.index}>
              <td>
                <Member index={member.index} />
              </td>
              <td>
                <span class={`state is-${condition}`} title={CONDITIONS[condition]}>
                  {condition}
                </span>
              </td>
              <td class="number">{grouped(epoch.blocks_authored)}</td>
              <td class="number">{grouped(epoch.designations)}</td>
              <td class="number">{grouped(epoch.reveals)}</td>
              <td class="number">{grouped(epoch.single_proofs)}</td>
              <td class="number">{grouped(epoch.turns_missed)}</td>
              <td class="number">{grouped(start.segments_benched)}</td>
              <td class="number">{grouped(start.suspensions)}</td>
              <td class="number">{grouped(member.weight)}</td>
              <td>{member.p2p}</td>
              <td>
                <Hex value={member.identity} />
              </td>
            </tr>
          );
        })}
      </Table>
      <p class="hint">
        Blocks of this epoch, as far as this node has them; benched segments and suspensions since it started. <em>Authored</em>: blocks it built. <em>Drawn</em>:
        those that another member’s turn drew it for. <em>Turns missed</em>: its views that passed without a block.
      </p>
    </>
  );
}

// The members as a ring: who commits, whom that draws, who votes, and the certificate as it forms.

import type { Cluster, MemberSight, Rung } from '../api';
import type { LiveBlock } from '../live';
import { grouped } from '../format';

const SIZE = 440;
const MIDDLE = SIZE / 2;
const RADIUS = 164;
/** What stands in the middle ends here. */
const CLEAR = 102;
const STEPS: Rung[] = ['proposed', 'notarized', 'finalized'];

export type Condition = 'voting' | 'silent' | 'gone' | 'benched' | 'suspended';

export const CONDITIONS: Record<Condition, string> = {
  voting: 'votes',
  silent: 'no votes seen lately',
  gone: 'no connection',
  benched: 'votes; not drawn in this segment',
  suspended: 'votes; neither commits nor is drawn in this epoch',
};

export function conditionOf(member: MemberSight): Condition {
  if (member.connected === false) return 'gone';
  if (!member.voting) return 'silent';
  if (member.suspended) return 'suspended';
  return member.benched ? 'benched' : 'voting';
}

function place(index: number, count: number, radius = RADIUS): [number, number] {
  const angle = (2 * Math.PI * index) / count - Math.PI / 2;
  return [MIDDLE + radius * Math.cos(angle), MIDDLE + radius * Math.sin(angle)];
}

export function Ring({ cluster, block, frozen }: { cluster: Cluster; block: LiveBlock | undefined; frozen: boolean }) {
  const { members, status } = cluster;
  const size = Math.min(30, (Math.PI * RADIUS) / members.length - 4);
  const step = block ? STEPS.indexOf(block.rung) + 1 : 0;
  const gone = members.filter((member) => ['gone', 'silent'].includes(conditionOf(member))).length;
  const label = `${members.length} members, ${members.length - gone} of them at work; ${status.quorum} are needed.`;
  return (
    <svg class={frozen ? 'ring ring-frozen' : 'ring'} viewBox={`0 0 ${SIZE} ${SIZE}`} role="img" aria-label={label}>
      <circle class="ring-track" cx={MIDDLE} cy={MIDDLE} r={RADIUS} />
      {block && <Draw committer={block.committer} author={block.author} count={members.length} />}
      <Certificate step={step} />
      <text class="ring-height" x={MIDDLE} y={MIDDLE - 4}>
        {grouped(block?.height ?? status.finalized_height)}
      </text>
      <text class="ring-caption" x={MIDDLE} y={MIDDLE + 20}>
        {block ? block.rung : 'waiting'}
      </text>
      {members.map((member) => (
        <Node key={member.index} member={member} count={members.length} size={size} own={member.index === status.index} block={block} />
      ))}
    </svg>
  );
}

/** From who committed to who was drawn, around what stands in the middle. */
function Draw({ committer, author, count }: { committer: number; author: number; count: number }) {
  if (committer === author) return null;
  const [fromX, fromY] = place(committer, count);
  const [toX, toY] = place(author, count);
  const [halfX, halfY] = [(fromX + toX) / 2 - MIDDLE, (fromY + toY) / 2 - MIDDLE];
  const distance = Math.hypot(halfX, halfY);
  // Opposite members have no side; the path then takes the one to the right of who commits.
  const [sideX, sideY] = distance > 1 ? [halfX / distance, halfY / distance] : [(toY - fromY) / (2 * RADIUS), (fromX - toX) / (2 * RADIUS)];
  // A curve passes half way between the straight line and its control point.
  const bend = Math.max(distance, 2 * CLEAR - distance);
  return <path class="ring-draw" d={`M${fromX} ${fromY}Q${MIDDLE + sideX * bend} ${MIDDLE + sideY * bend} ${toX} ${toY}`} />;
}

/** Three arcs around the middle: proposed, notarized, finalized. */
function Certificate({ step }: { step: number }) {
  const radius = 74;
  const gap = 0.09;
  return (
    <g>
      {STEPS.map((rung, at) => {
        const start = (2 * Math.PI * at) / 3 - Math.PI / 2 + gap;
        const end = (2 * Math.PI * (at + 1)) / 3 - Math.PI / 2 - gap;
        const point = (angle: number) => `${MIDDLE + radius * Math.cos(angle)} ${MIDDLE + radius * Math.sin(angle)}`;
        return <path key={rung} class={`ring-arc arc-${rung} ${at < step ? 'on' : ''}`} d={`M${point(start)}A${radius} ${radius} 0 0 1 ${point(end)}`} />;
      })}
    </g>
  );
}

interface NodeProps {
  member: MemberSight;
  count: number;
  size: number;
  own: boolean;
  block: LiveBlock | undefined;
}

function Node({ member, count, size, own, block }: NodeProps) {
  const [x, y] = place(member.index, count);
  const [roleX, roleY] = place(member.index, count, RADIUS + size + 14);
  // Beside the ring the words grow away from it.
  const anchor = Math.abs(roleX - MIDDLE) < RADIUS / 2 ? 'middle' : roleX < MIDDLE ? 'end' : 'start';
  const condition = conditionOf(member);
  const roles = [
    block?.committer === member.index ? 'commits' : '',
    block?.author === member.index ? 'drawn' : '',
  ].filter(Boolean);
  const voted = block?.voters.includes(member.index);
  const role = condition === 'gone' || condition === 'silent' ? condition : roles.join(', ');
  return (
    <g class={`ring-node is-${condition} ${roles.join(' ')} ${voted ? 'voted' : ''}`}>
      <title>{`Member ${member.index}${own ? ', this node' : ''}: ${CONDITIONS[condition]}`}</title>
      <circle class="ring-vote" cx={x} cy={y} r={size + 5} />
      <circle class="ring-body" cx={x} cy={y} r={size} />
      {size > 11 && (
        <text class="ring-index" x={x} y={y + 1}>
          {member.index}
        </text>
      )}
      {own && size > 20 && (
        <text class="ring-own" x={x} y={y + size * 0.55}>
          this
        </text>
      )}
      {count <= 12 && (
        <text class="ring-role" x={roleX} y={roleY} text-anchor={anchor}>
          {role}
        </text>
      )}
    </g>
  );
}

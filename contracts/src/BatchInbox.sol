// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {BlsMinSig} from "./BlsMinSig.sol";
import {ClusterRegistry} from "./ClusterRegistry.sol";
import {ForcedQueue} from "./ForcedQueue.sol";
import {ISequencingPolicy} from "./ISequencingPolicy.sol";
import {Batch, DataKind, Messages} from "./Messages.sol";

/// @title The batches of one rollup, in the order that the cluster certified
/// @notice Policy, order, forced entries and data are checked before the certificate, which is the costly part.
contract BatchInbox is Ownable2Step {
    /// @notice What an inbox is made with.
    /// @param owner The timelock
    /// @param registry Keys of the clusters
    /// @param cluster The cluster
    /// @param queue Forced entries of the rollup
    /// @param carrier The BatchCarrier that may post for whoever calls it; zero for none
    /// @param policy Who may post at first
    /// @param firstHeight First block of the cluster that the first batch covers
    /// @param slotSeconds Length of a slot
    /// @param graceSlots Slots after a batch's own in which the policy binds; afterwards anyone may post it
    /// @param silence Seconds without a batch of the cluster, after which the hatch opens
    /// @param policyDelay Seconds from the proposal of a policy until it binds
    struct Config {
        address owner;
        ClusterRegistry registry;
        bytes32 cluster;
        ForcedQueue queue;
        address carrier;
        ISequencingPolicy policy;
        uint64 firstHeight;
        uint64 slotSeconds;
        uint64 graceSlots;
        uint64 silence;
        uint64 policyDelay;
    }

    /// @notice Keys of the clusters.
    ClusterRegistry public immutable registry;
    /// @notice The cluster.
    bytes32 public immutable cluster;
    /// @notice Forced entries.
    ForcedQueue public immutable queue;
    /// @notice Posts for whoever calls it.
    address public immutable carrier;
    /// @notice Number of the rollup.
    uint32 public immutable rollup;
    /// @notice Length of a slot in seconds.
    uint64 public immutable slotSeconds;
    /// @notice Slots in which the policy binds after a batch's own.
    uint64 public immutable graceSlots;
    /// @notice Seconds of silence that open the hatch.
    uint64 public immutable silence;
    /// @notice Seconds until a new policy binds.
    uint64 public immutable policyDelay;

    /// @notice Head of the chain of batches.
    bytes32 public head;
    /// @notice Index of the next batch.
    uint64 public nextIndex;
    /// @notice First block of the next batch.
    uint64 public nextHeight;
    /// @notice Forced entries taken.
    uint64 public forcedCursor;
    /// @notice Time of the cluster's last batch.
    uint64 public lastBatchAt;
    ISequencingPolicy internal _policy;
    ISequencingPolicy internal _nextPolicy;
    uint64 internal _policyAt;

    /// @notice A batch of the cluster.
    event BatchPosted(
        uint64 indexed index, bytes32 indexed head, address indexed poster, Batch batch, bytes32[] blobs
    );
    /// @notice Forced entries taken through the hatch: from `from`, before `to`.
    event Escaped(uint64 indexed index, bytes32 indexed head, address indexed poster, uint64 from, uint64 to);
    /// @notice A policy binds from `bindsAt`.
    event PolicyProposed(ISequencingPolicy policy, uint64 bindsAt);

    /// @notice Not the next batch; one that is below was posted already.
    error WrongIndex(uint64 index, uint64 expected);
    /// @notice The batch does not begin where the last one ended, or ends before it begins.
    error NotNext(uint64 firstHeight, uint64 lastHeight, uint64 expected);
    /// @notice The slot has not begun.
    error FutureSlot(uint64 slot, uint64 current);
    /// @notice The policy gives this slot to another.
    error NotAllowed(address sequencer, uint64 slot);
    /// @notice The cursor goes back or past the queue's end.
    error BadCursor(uint64 cursor, uint64 from, uint64 length);
    /// @notice The batch leaves out an expired entry.
    error SkipsExpired(uint64 entry, uint64 deadline);
    /// @notice Only the carrier posts for another.
    error NotCarrier(address caller);
    /// @notice The transaction has no blobs, or not those of the range.
    error NoBlobs();
    /// @notice Calldata is read from the transaction, so a plain account must call the inbox or the carrier itself.
    error DataNotInTransaction(address poster);
    /// @notice Only calldata batches bring data.
    error UnexpectedData(uint256 size);
    /// @notice The data is not what was certified.
    error WrongData(bytes32 commitment, bytes32 found);
    /// @notice The group did not sign this.
    error BadCertificate(uint32 keyGeneration, uint64 index);
    /// @notice The cluster is not silent for long enough.
    error NotSilent(uint64 opensAfter, uint256 time);
    /// @notice The hatch takes expired entries only.
    error NotExpired(uint64 entry);

    /// @param c The configuration
    constructor(Config memory c) Ownable(c.owner) {
        registry = c.registry;
        cluster = c.cluster;
        queue = c.queue;
        carrier = c.carrier;
        rollup = c.queue.rollup();
        slotSeconds = c.slotSeconds;
        graceSlots = c.graceSlots;
        silence = c.silence;
        policyDelay = c.policyDelay;
        nextHeight = c.firstHeight;
        lastBatchAt = uint64(block.timestamp);
        _policy = c.policy;
        emit PolicyProposed(c.policy, uint64(block.timestamp));
    }

    /// @notice Posts the next batch, with all blobs of the transaction.
    /// @param b The batch
    /// @param certificate The group's signature
    /// @param data The data of a calldata batch, else empty
    function post(Batch calldata b, bytes calldata certificate, bytes calldata data) external {
        uint256 blobs;
        while (blobhash(blobs) != 0) ++blobs;
        _post(msg.sender, b, certificate, 0, blobs, data);
    }

    /// @notice Posts the next batch for who called the carrier, with some of the transaction's blobs.
    /// @param poster Who called the carrier
    /// @param b The batch
    /// @param certificate The group's signature
    /// @param firstBlob First blob of a batch in blobs
    /// @param blobs How many blobs it has
    /// @param data The data of a calldata batch, else empty
    function postFor(
        address poster,
        Batch calldata b,
        bytes calldata certificate,
        uint256 firstBlob,
        uint256 blobs,
        bytes calldata data
    ) external {
        if (msg.sender != carrier) revert NotCarrier(msg.sender);
        _post(poster, b, certificate, firstBlob, blobs, data);
    }

    /// @notice Takes the expired entries before `to`, after a silence of the cluster. Covers no blocks: the cluster's
    /// next batch goes on from the same height, behind the new head and cursor.
    /// @param to Entry after the last one taken
    function escape(uint64 to) external {
        if (block.timestamp <= lastBatchAt + silence) revert NotSilent(lastBatchAt + silence, block.timestamp);
        uint64 from = forcedCursor;
        if (to <= from || to > queue.length()) revert BadCursor(to, from, queue.length());
        // Deadlines never decrease: when the last one is expired, all are.
        if (!queue.expired(to - 1)) revert NotExpired(to - 1);
        uint64 index = nextIndex++;
        bytes32 newHead = sha256(
            bytes.concat(
                abi.encodePacked("_BATON_L1_ESCAPE", uint64(block.chainid), address(this), rollup, index, head),
                abi.encodePacked(from, to, queue.hashOf(to - 1))
            )
        );
        head = newHead;
        forcedCursor = to;
        emit Escaped(index, newHead, msg.sender, from, to);
    }

    /// @notice Proposes a policy. It binds after the delay, and takes the place of one that waits.
    /// @param policy_ The policy
    function proposePolicy(ISequencingPolicy policy_) external onlyOwner {
        _policy = policy();
        _nextPolicy = policy_;
        _policyAt = uint64(block.timestamp) + policyDelay;
        emit PolicyProposed(policy_, _policyAt);
    }

    /// @notice The policy that binds now.
    /// @return The policy
    function policy() public view returns (ISequencingPolicy) {
        return _policyAt != 0 && block.timestamp >= _policyAt ? _nextPolicy : _policy;
    }

    function _post(
        address poster,
        Batch calldata b,
        bytes calldata certificate,
        uint256 firstBlob,
        uint256 blobs,
        bytes calldata data
    ) internal {
        if (b.index != nextIndex) revert WrongIndex(b.index, nextIndex);
        if (b.firstHeight != nextHeight || b.lastHeight < b.firstHeight) {
            revert NotNext(b.firstHeight, b.lastHeight, nextHeight);
        }
        _checkPolicy(poster, b.slot);
        _checkForced(b.forcedCursor);
        bytes32[] memory hashes = _checkData(poster, b, firstBlob, blobs, data);

        bytes memory encoded = Messages.batch(uint64(block.chainid), address(this), rollup, head, b);
        bytes memory key = registry.keyFor(cluster, b.keyGeneration, b.firstHeight, b.lastHeight);
        if (!BlsMinSig.verify(key, Messages.signedBatch(encoded), certificate)) {
            revert BadCertificate(b.keyGeneration, b.index);
        }
        bytes32 newHead = Messages.head(encoded);
        head = newHead;
        nextIndex = b.index + 1;
        nextHeight = b.lastHeight + 1;
        forcedCursor = b.forcedCursor;
        lastBatchAt = uint64(block.timestamp);
        emit BatchPosted(b.index, newHead, poster, b, hashes);
    }

    function _checkPolicy(address poster, uint64 slot) internal view {
        uint64 current = uint64(block.timestamp) / slotSeconds;
        if (slot > current) revert FutureSlot(slot, current);
        if (current - slot <= graceSlots && !policy().isAllowed(rollup, slot, poster)) {
            revert NotAllowed(poster, slot);
        }
    }

    function _checkForced(uint64 cursor) internal view {
        uint64 length = queue.length();
        if (cursor < forcedCursor || cursor > length) revert BadCursor(cursor, forcedCursor, length);
        if (queue.expired(cursor)) revert SkipsExpired(cursor, queue.deadlineOf(cursor));
    }

    function _checkData(address poster, Batch calldata b, uint256 firstBlob, uint256 blobs, bytes calldata data)
        internal
        view
        returns (bytes32[] memory hashes)
    {
        if (b.dataKind != DataKind.Calldata && data.length != 0) revert UnexpectedData(data.length);
        if (b.dataKind == DataKind.Directory) return hashes;
        bytes32 found;
        if (b.dataKind == DataKind.Blobs) {
            hashes = _blobHashes(firstBlob, blobs);
            found = sha256(abi.encodePacked(hashes));
        } else {
            // An account with code (EIP-7702) may be the origin and yet call from within a transaction to another.
            if (poster != tx.origin || poster.code.length != 0) revert DataNotInTransaction(poster);
            found = sha256(data);
        }
        if (found != b.dataCommitment) revert WrongData(b.dataCommitment, found);
    }

    function _blobHashes(uint256 first, uint256 count) internal view returns (bytes32[] memory hashes) {
        // The transaction has `count` blobs at least, which bounds the memory.
        if (count == 0 || blobhash(count - 1) == 0) revert NoBlobs();
        hashes = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            hashes[i] = blobhash(first + i);
            if (hashes[i] == 0) revert NoBlobs();
        }
    }
}

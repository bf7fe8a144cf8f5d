// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchCarrier} from "../src/BatchCarrier.sol";
import {BatchInbox} from "../src/BatchInbox.sol";
import {ClusterRegistry, NextKey} from "../src/ClusterRegistry.sol";
import {ForcedQueue} from "../src/ForcedQueue.sol";
import {OpenPolicy} from "../src/Policies.sol";
import {Batch, DataKind, Messages} from "../src/Messages.sol";
import {BlsReadable} from "./BlsReadable.sol";

interface Vm {
    function readFile(string calldata path) external view returns (string memory);
    function parseJsonBytes(string calldata json, string calldata key) external pure returns (bytes memory);
    function parseJsonBytes32(string calldata json, string calldata key) external pure returns (bytes32);
    function warp(uint256 time) external;
    function roll(uint256 number) external;
    function getBlockTimestamp() external view returns (uint256);
    function getBlockNumber() external view returns (uint256);
    function pauseGasMetering() external;
    function resumeGasMetering() external;
    function lastCallGas() external view returns (CallGas memory);
    function snapshotState() external returns (uint256);
    function revertToState(uint256 id) external returns (bool);
    function chainId(uint256 id) external;
    function prank(address sender) external;
    function prank(address sender, address origin) external;
    function etch(address target, bytes calldata code) external;
    function blobhashes(bytes32[] calldata hashes) external;
    function expectRevert(bytes calldata data) external;
    function expectRevert(bytes4 selector) external;
    function expectPartialRevert(bytes4 selector) external;
}

/// Gas of the last call.
struct CallGas {
    uint64 limit;
    uint64 used;
    uint64 memoryUsed;
    int64 refunded;
    uint64 remaining;
}

/// A cluster whose secret the tests know, a queue and an inbox.
contract Base {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 internal constant SECRET = 0x1234567;
    uint32 internal constant ROLLUP = 7;

    ClusterRegistry internal registry;
    ForcedQueue internal queue;
    BatchCarrier internal carrier;
    BatchInbox internal inbox;
    bytes32 internal cluster;

    function make() internal {
        vm.warp(1_000_000);
        registry = new ClusterRegistry(address(this), 1 days);
        NextKey memory next = NextKey(BlsReadable.publicKey(SECRET), 1, bytes32("members"));
        cluster = registry.clusterId("genesis", next.key);
        registry.register("genesis", next, possession(SECRET, 0, next));
        queue = new ForcedQueue(ROLLUP, 1 hours, 1000, 1_000_000, 2500, 2_500_000);
        carrier = new BatchCarrier();
        inbox = deploy(queue);
    }

    function deploy(ForcedQueue queue_) internal returns (BatchInbox) {
        return new BatchInbox(
            BatchInbox.Config(
                address(this), registry, cluster, queue_, address(carrier), new OpenPolicy(), 1, 12, 5, 6 hours, 2 days
            )
        );
    }

    function possession(uint256 secret, uint32 generation, NextKey memory next) internal view returns (bytes memory) {
        return BlsReadable.sign(secret, Messages.signedPossession(registry.encode(cluster, generation, next)));
    }

    function rotation(uint256 secret, uint32 generation, NextKey memory next) internal view returns (bytes memory) {
        return BlsReadable.sign(secret, Messages.signedRotation(registry.encode(cluster, generation, next)));
    }

    /// The next batch of ten blocks, without data on chain.
    function nextBatch() internal view returns (Batch memory b) {
        b.index = inbox.nextIndex();
        b.firstHeight = inbox.nextHeight();
        b.lastHeight = b.firstHeight + 9;
        b.slot = uint64(block.timestamp) / 12;
        b.orderRoot = "order";
        b.dataKind = DataKind.Directory;
        b.dataCommitment = "data";
        b.forcedCursor = inbox.forcedCursor();
    }

    function encoded(BatchInbox inbox_, bytes32 head, Batch calldata b) external view returns (bytes memory) {
        return Messages.batch(uint64(block.chainid), address(inbox_), inbox_.rollup(), head, b);
    }

    function certificate(uint256 secret, Batch memory b) internal view returns (bytes memory) {
        return BlsReadable.sign(secret, Messages.signedBatch(this.encoded(inbox, inbox.head(), b)));
    }

    function post(Batch memory b) internal {
        inbox.post(b, certificate(SECRET, b), "");
    }

    function refused(Batch memory b, bytes memory reason) internal {
        bytes memory c = certificate(SECRET, b);
        vm.expectRevert(reason);
        inbox.post(b, c, "");
    }
}

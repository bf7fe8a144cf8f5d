// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ForcedQueue} from "../src/ForcedQueue.sol";
import {Batch, Messages} from "../src/Messages.sol";
import {Base} from "./Base.sol";
import {BlsReadable} from "./BlsReadable.sol";

/// Random sequences against a model that says what is taken, and what then stands.
contract SequencesTest is Base {
    /// A batch beside the next one. Most of each are right.
    struct Step {
        uint8 index;
        uint8 first;
        uint8 last;
        uint8 previous;
    }

    /// What somebody forces, and whether a block passes before.
    struct Entry {
        uint16 size;
        uint32 gas;
        uint16 wait;
        address sender;
    }

    function setUp() public {
        make();
    }

    /// The number, one more or one less; itself in six cases of eight.
    function near(uint64 right, uint8 choice) internal pure returns (uint64) {
        if (choice % 8 == 0) return right + 1;
        return choice % 8 == 1 && right > 0 ? right - 1 : right;
    }

    function testFuzz_batches_are_taken_in_order_only(Step[16] memory steps) public {
        bytes32[] memory heads = new bytes32[](17);
        uint64 index;
        uint64 height = 1;
        for (uint256 i; i < steps.length; i++) {
            Batch memory b = nextBatch();
            (b.index, b.firstHeight) = (near(index, steps[i].index), near(height, steps[i].first));
            b.lastHeight = steps[i].last % 8 == 0 ? b.firstHeight - (b.firstHeight > 0 ? 1 : 0) : b.firstHeight + steps[i].last;
            // Signed behind any head that there was.
            uint64 behind = near(index, steps[i].previous);
            if (behind > index) behind = 0;
            bytes memory message = this.encoded(inbox, heads[behind], b);
            bool right = b.index == index && b.firstHeight == height && b.lastHeight >= height && behind == index;
            (bool taken,) = address(inbox)
                .call(abi.encodeCall(inbox.post, (b, BlsReadable.sign(SECRET, Messages.signedBatch(message)), "")));
            assert(taken == right);
            if (right) {
                heads[++index] = sha256(bytes.concat("_BATON_L1_HEAD", message));
                height = b.lastHeight + 1;
            }
            assert(inbox.head() == heads[index] && inbox.nextIndex() == index && inbox.nextHeight() == height);
        }
    }

    /// Takes what a block and an entry may be, and chains it.
    struct Queue {
        uint64 length;
        bytes32 head;
        uint256 bytesLeft;
        uint256 gasLeft;
        bytes32[] hashes;
        uint64[] deadlines;
    }

    function take(Queue memory q, Entry memory e, bytes memory data) internal view returns (bool) {
        if (e.size > 1000 || e.gas > 1_000_000 || e.size > q.bytesLeft || e.gas > q.gasLeft) return false;
        (q.bytesLeft, q.gasLeft) = (q.bytesLeft - e.size, q.gasLeft - e.gas);
        uint64 deadline = uint64(block.timestamp + 1 hours);
        bytes memory facts = abi.encodePacked(ROLLUP, q.length, e.sender, deadline, uint64(e.gas));
        q.head = sha256(bytes.concat("_BATON_L1_FORCED", q.head, facts, sha256(data)));
        (q.hashes[q.length], q.deadlines[q.length]) = (q.head, deadline);
        ++q.length;
        return true;
    }

    function testFuzz_the_queue_is_the_hash_chain_of_what_it_took(Entry[24] memory entries) public {
        Queue memory q = Queue(0, 0, 2500, 2_500_000, new bytes32[](24), new uint64[](24));
        for (uint256 i; i < entries.length; i++) {
            Entry memory e = entries[i];
            if (e.wait % 4 == 0) {
                vm.warp(vm.getBlockTimestamp() + e.wait % 60);
                vm.roll(vm.getBlockNumber() + 1);
                (q.bytesLeft, q.gasLeft) = (2500, 2_500_000);
            }
            // One of ten is above what one entry may be.
            (e.size, e.gas) = (e.size % 1111, e.gas % 1_111_111);
            bytes memory data = new bytes(e.size);
            if (e.size > 0) data[e.size - 1] = bytes1(uint8(i + 1));
            vm.prank(e.sender);
            (bool taken, bytes memory answer) = address(queue).call(abi.encodeCall(ForcedQueue.force, (e.gas, data)));
            assert(taken == take(q, e, data));
            assert(queue.length() == q.length && (!taken || abi.decode(answer, (uint64)) == q.length - 1));
        }
        // Nothing that was taken has changed since, and nothing is behind it.
        for (uint64 i; i < q.length; i++) {
            assert(queue.hashOf(i) == q.hashes[i] && queue.deadlineOf(i) == q.deadlines[i]);
        }
        assert(queue.hashOf(q.length) == 0 && !queue.expired(q.length));
    }
}

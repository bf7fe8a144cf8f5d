// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../src/BatchInbox.sol";
import {ClusterRegistry} from "../src/ClusterRegistry.sol";
import {ForcedQueue} from "../src/ForcedQueue.sol";
import {ClusterPolicy, SinglePolicy} from "../src/Policies.sol";
import {Batch, DataKind} from "../src/Messages.sol";
import {Base} from "./Base.sol";

contract BatchInboxTest is Base {
    event Gas(string what, uint256 gas);

    function setUp() public {
        make();
    }

    function test_batches_chain_and_an_index_is_taken_once_and_refused_cheaply() public {
        Batch memory first = nextBatch();
        bytes memory c = certificate(SECRET, first);
        inbox.post(first, c, "");
        assert(inbox.head() != 0 && inbox.nextIndex() == 1 && inbox.nextHeight() == 11);
        uint256 gas = gasleft();
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.WrongIndex.selector, 0, 1));
        inbox.post(first, c, "");
        assert(gas - gasleft() < 30_000);
        post(nextBatch());
        assert(inbox.nextHeight() == 21);
    }

    function test_heights_follow_without_a_gap() public {
        Batch memory b = nextBatch();
        b.firstHeight = 2;
        refused(b, abi.encodeWithSelector(BatchInbox.NotNext.selector, 2, b.lastHeight, 1));
        b.firstHeight = 1;
        b.lastHeight = 0;
        refused(b, abi.encodeWithSelector(BatchInbox.NotNext.selector, 1, 0, 1));
    }

    function test_a_certificate_is_for_one_chain_one_inbox_one_generation_one_batch() public {
        Batch memory b = nextBatch();
        bytes memory c = certificate(SECRET, b);
        bytes memory bad = abi.encodeWithSelector(BatchInbox.BadCertificate.selector, 0, 0);
        BatchInbox other = deploy(queue);
        vm.expectRevert(bad);
        other.post(b, c, "");
        vm.chainId(1);
        vm.expectRevert(bad);
        inbox.post(b, c, "");
        vm.chainId(31_337);
        b.claimedStateRoot = "other";
        vm.expectRevert(bad);
        inbox.post(b, c, "");
        b.claimedStateRoot = 0;
        b.keyGeneration = 1;
        vm.expectRevert(abi.encodeWithSelector(ClusterRegistry.UnknownGeneration.selector, cluster, 1));
        inbox.post(b, c, "");
        b.keyGeneration = 0;
        bytes memory stranger = certificate(SECRET + 1, b);
        vm.expectRevert(bad);
        inbox.post(b, stranger, "");
        inbox.post(b, c, "");
    }

    function test_garbage_costs_less_than_200k() public {
        Batch memory b = nextBatch();
        bytes memory garbage = new bytes(96);
        garbage[95] = 0x01;
        uint256 gas = gasleft();
        (bool ok,) = address(inbox).call{gas: 5_000_000}(abi.encodeCall(BatchInbox.post, (b, garbage, "")));
        assert(!ok && gas - gasleft() < 200_000);
    }

    function test_calldata_and_blobs_are_bound() public {
        Batch memory b = nextBatch();
        b.dataKind = DataKind.Calldata;
        b.dataCommitment = sha256("the data");
        bytes memory c = certificate(SECRET, b);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.DataNotInTransaction.selector, address(this)));
        inbox.post(b, c, "the data");
        address account = address(0xacc);
        vm.prank(account, account);
        vm.expectPartialRevert(BatchInbox.WrongData.selector);
        inbox.post(b, c, "other data");
        vm.prank(account, account);
        uint256 gas = gasleft();
        inbox.post(b, c, "the data");
        emit Gas("post, calldata", gas - gasleft());

        bytes32[] memory blobs = new bytes32[](2);
        (blobs[0], blobs[1]) = (bytes32(uint256(1) << 248 | 1), bytes32(uint256(1) << 248 | 2));
        b = nextBatch();
        b.dataKind = DataKind.Blobs;
        b.dataCommitment = sha256(abi.encodePacked(blobs));
        refused(b, abi.encodeWithSelector(BatchInbox.NoBlobs.selector));
        c = certificate(SECRET, b);
        vm.blobhashes(blobs);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.UnexpectedData.selector, 1));
        inbox.post(b, c, "x");
        gas = gasleft();
        inbox.post(b, c, "");
        emit Gas("post, two blobs", gas - gasleft());
        blobs[1] = blobs[0];
        vm.blobhashes(blobs);
        Batch memory wrong = nextBatch();
        (wrong.dataKind, wrong.dataCommitment) = (DataKind.Blobs, b.dataCommitment);
        c = certificate(SECRET, wrong);
        vm.expectPartialRevert(BatchInbox.WrongData.selector);
        inbox.post(wrong, c, "");
    }

    function test_the_policy_binds_for_the_slot_and_its_grace_then_anyone_may_post() public {
        inbox.proposePolicy(new SinglePolicy(address(0xbeef)));
        vm.warp(block.timestamp + 2 days - 1);
        post(nextBatch());
        vm.warp(block.timestamp + 1);
        Batch memory b = nextBatch();
        refused(b, abi.encodeWithSelector(BatchInbox.NotAllowed.selector, address(this), b.slot));
        bytes memory c = certificate(SECRET, b);
        vm.prank(address(0xbeef));
        inbox.post(b, c, "");
        b = nextBatch();
        b.slot += 1;
        refused(b, abi.encodeWithSelector(BatchInbox.FutureSlot.selector, b.slot, b.slot - 1));
        b.slot -= 7;
        post(b);
    }

    function test_a_policy_of_members() public {
        address[] memory members = new address[](1);
        members[0] = address(this);
        ClusterPolicy policy = new ClusterPolicy(members);
        assert(policy.isAllowed(ROLLUP, 1, address(this)) && !policy.isAllowed(ROLLUP, 1, address(1)));
    }

    function test_an_expired_entry_cannot_be_skipped() public {
        queue.force(1, "a");
        uint64 deadline = queue.deadlineOf(0);
        vm.warp(deadline);
        post(nextBatch());
        vm.warp(deadline + 1);
        refused(nextBatch(), abi.encodeWithSelector(BatchInbox.SkipsExpired.selector, 0, deadline));
        Batch memory b = nextBatch();
        b.forcedCursor = 2;
        refused(b, abi.encodeWithSelector(BatchInbox.BadCursor.selector, 2, 0, 1));
        b.forcedCursor = 1;
        post(b);
        b = nextBatch();
        b.forcedCursor = 0;
        refused(b, abi.encodeWithSelector(BatchInbox.BadCursor.selector, 0, 1, 1));
    }

    function test_the_hatch_opens_after_silence_and_the_cluster_goes_on_behind_it() public {
        post(nextBatch());
        queue.force(1, "a");
        uint256 start = block.timestamp;
        vm.warp(start + 6 hours);
        queue.force(1, "b");
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.NotSilent.selector, start + 6 hours, start + 6 hours));
        inbox.escape(1);
        Batch memory signedBefore = nextBatch();
        bytes memory c = certificate(SECRET, signedBefore);
        vm.warp(start + 6 hours + 1);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.NotExpired.selector, 1));
        inbox.escape(2);
        bytes32 before = inbox.head();
        inbox.escape(1);
        assert(inbox.head() != before && inbox.forcedCursor() == 1 && inbox.nextHeight() == 11);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BadCursor.selector, 1, 1, 2));
        inbox.escape(1);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.WrongIndex.selector, 1, 2));
        inbox.post(signedBefore, c, "");
        post(nextBatch());
        assert(inbox.nextIndex() == 3 && inbox.nextHeight() == 21);
    }

    function test_caps_of_the_queue() public {
        vm.expectRevert(abi.encodeWithSelector(ForcedQueue.EntryTooLarge.selector, 1001, 1000));
        queue.force(1, new bytes(1001));
        vm.expectRevert(abi.encodeWithSelector(ForcedQueue.EntryTooCostly.selector, 1_000_001, 1_000_000));
        queue.force(1_000_001, "");
        queue.force(1_000_000, new bytes(1000));
        queue.force(1_000_000, new bytes(1000));
        vm.expectRevert(abi.encodeWithSelector(ForcedQueue.BlockFull.selector, 2501, 2_000_000));
        queue.force(0, new bytes(501));
        vm.expectRevert(abi.encodeWithSelector(ForcedQueue.BlockFull.selector, 2000, 2_500_001));
        queue.force(500_001, "");
        queue.force(500_000, new bytes(500));
        vm.roll(block.number + 1);
        queue.force(1, "next block");
        assert(queue.length() == 4 && queue.hashOf(3) != queue.hashOf(2));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchCarrier, Parcel} from "../src/BatchCarrier.sol";
import {BatchInbox} from "../src/BatchInbox.sol";
import {ForcedQueue} from "../src/ForcedQueue.sol";
import {SinglePolicy} from "../src/Policies.sol";
import {Batch, DataKind, Messages} from "../src/Messages.sol";
import {Base} from "./Base.sol";
import {BlsReadable} from "./BlsReadable.sol";

/// Inboxes of two rollups, each with one batch, and a transaction with four blobs.
contract CarrierBase is Base {
    event Gas(string what, uint256 gas);

    BatchInbox internal other;
    bytes32[] internal hashes;

    function makeBoth() internal {
        make();
        other = deploy(new ForcedQueue(ROLLUP + 1, 1 hours, 1000, 1_000_000, 2500, 2_500_000));
        for (uint256 i; i < 4; ++i) {
            hashes.push(bytes32(uint256(1) << 248 | i));
        }
        Parcel memory first;
        (first.inbox, first.batch) = (other, nextBatch());
        other.post(first.batch, signed(first), "");
        post(first.batch);
    }

    /// The second batch of an inbox, in blobs from `first`, `count` of them.
    function parcel(BatchInbox inbox_, uint256 first, uint256 count) internal returns (Parcel memory p) {
        vm.blobhashes(hashes);
        bytes memory meant;
        for (uint256 i; i < count; ++i) {
            meant = bytes.concat(meant, hashes[first + i]);
        }
        (p.inbox, p.batch, p.firstBlob, p.blobs) = (inbox_, nextBatch(), first, count);
        (p.batch.dataKind, p.batch.dataCommitment) = (DataKind.Blobs, sha256(meant));
        p.certificate = signed(p);
    }

    function signed(Parcel memory p) internal view returns (bytes memory) {
        return signed(p, p.inbox.head());
    }

    function signed(Parcel memory p, bytes32 head) internal view returns (bytes memory) {
        return BlsReadable.sign(SECRET, Messages.signedBatch(this.encoded(p.inbox, head, p.batch)));
    }
}

contract BatchCarrierTest is CarrierBase {
    address internal constant ACCOUNT = address(0xacc);

    function setUp() public {
        makeBoth();
    }

    function one(Parcel memory p) internal pure returns (Parcel[] memory parcels) {
        parcels = new Parcel[](1);
        parcels[0] = p;
    }

    function pair() internal returns (Parcel[] memory parcels) {
        parcels = new Parcel[](2);
        (parcels[0], parcels[1]) = (parcel(inbox, 0, 2), parcel(other, 2, 2));
    }

    function calldataParcel() internal view returns (Parcel memory p) {
        (p.inbox, p.batch, p.data) = (inbox, nextBatch(), "the data");
        (p.batch.dataKind, p.batch.dataCommitment) = (DataKind.Calldata, sha256(p.data));
        p.certificate = signed(p);
    }

    function refused(Parcel[] memory parcels, bytes memory reason) internal {
        refused(address(this), tx.origin, parcels, reason);
    }

    function refused(address from, address origin, Parcel[] memory parcels, bytes memory reason) internal {
        (bytes32 head, bytes32 otherHead) = (inbox.head(), other.head());
        vm.prank(from, origin);
        vm.expectRevert(reason);
        carrier.post(parcels);
        assert(inbox.head() == head && inbox.nextIndex() == 1 && inbox.nextHeight() == 11);
        assert(other.head() == otherHead && other.nextIndex() == 1 && other.nextHeight() == 11);
    }

    function wrongData(Parcel memory p) internal view returns (bytes memory) {
        bytes memory found;
        for (uint256 i; i < p.blobs; ++i) {
            found = bytes.concat(found, hashes[p.firstBlob + i]);
        }
        return abi.encodeWithSelector(BatchInbox.WrongData.selector, p.batch.dataCommitment, sha256(found));
    }

    function test_two_rollups_in_one_transaction() public {
        Parcel[] memory parcels = pair();
        (bytes32 head, bytes32 otherHead) = (inbox.head(), other.head());
        carrier.post(parcels);
        assert(inbox.head() == Messages.head(this.encoded(inbox, head, parcels[0].batch)));
        assert(other.head() == Messages.head(this.encoded(other, otherHead, parcels[1].batch)));
        assert(inbox.nextIndex() == 2 && other.nextIndex() == 2);
    }

    function test_consecutive_batches_of_one_rollup_in_one_transaction() public {
        Parcel[] memory parcels = pair();
        Parcel memory second = parcels[1];
        second.inbox = inbox;
        (second.batch.index, second.batch.firstHeight, second.batch.lastHeight) = (2, 21, 30);
        second.certificate = signed(second, Messages.head(this.encoded(inbox, inbox.head(), parcels[0].batch)));
        (parcels[0], parcels[1]) = (parcels[1], parcels[0]);
        refused(parcels, abi.encodeWithSelector(BatchInbox.WrongIndex.selector, 2, 1));
        (parcels[0], parcels[1]) = (parcels[1], parcels[0]);
        carrier.post(parcels);
        assert(inbox.nextIndex() == 3 && inbox.nextHeight() == 31);
    }

    function test_every_batch_has_its_own_blobs() public {
        Parcel[] memory parcels = pair();
        Parcel memory second = parcels[1];
        for (uint256 first; first < 2; ++first) {
            second.firstBlob = first;
            refused(parcels, wrongData(second));
        }
        (second.firstBlob, second.blobs) = (2, 1);
        refused(parcels, wrongData(second));
        (second.firstBlob, second.blobs) = (0, 4);
        refused(parcels, wrongData(second));
    }

    function test_blobs_that_the_transaction_lacks() public {
        uint256 max = type(uint256).max;
        uint256 none = 0;
        uint256[2][8] memory ranges =
            [[2, none], [2, none + 3], [4, none + 1], [none, 5], [max, 2], [max, 1], [none, max], [2, max]];
        Parcel memory p = parcel(inbox, 2, 2);
        for (uint256 i; i < ranges.length; ++i) {
            (p.firstBlob, p.blobs) = (ranges[i][0], ranges[i][1]);
            refused(one(p), abi.encodeWithSelector(BatchInbox.NoBlobs.selector));
        }
        (p.firstBlob, p.blobs) = (2, 2);
        carrier.post(one(p));
    }

    function test_other_kinds_of_data_ignore_the_blobs() public {
        Parcel memory p = parcel(inbox, 0, 1);
        (p.batch, p.firstBlob, p.blobs) = (nextBatch(), 3, type(uint256).max);
        p.certificate = signed(p);
        carrier.post(one(p));
        assert(inbox.nextIndex() == 2);
    }

    function test_a_bad_parcel_reverts_all_with_its_own_reason() public {
        Parcel[] memory parcels = pair();
        parcels[1].certificate = parcels[0].certificate;
        refused(parcels, abi.encodeWithSelector(BatchInbox.BadCertificate.selector, 0, 1));
        parcels[1].batch.index = 2;
        refused(parcels, abi.encodeWithSelector(BatchInbox.WrongIndex.selector, 2, 1));
        refused(new Parcel[](0), abi.encodeWithSelector(BatchCarrier.NoParcels.selector));
    }

    /// Here with a byte behind the list, which Solidity would pass over.
    function test_the_encoding_is_canonical() public {
        bytes memory usual = abi.encodeCall(BatchCarrier.post, (pair()));
        (bool posted, bytes memory reason) = address(carrier).call(bytes.concat(usual, hex"00"));
        assert(!posted && bytes4(reason) == BatchCarrier.NotCanonical.selector);
        (posted,) = address(carrier).call(usual);
        assert(posted);
    }

    function test_only_the_carrier_posts_for_another() public {
        Parcel memory p = parcel(inbox, 0, 2);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.NotCarrier.selector, address(this)));
        inbox.postFor(address(this), p.batch, p.certificate, 0, 2, "");
    }

    function test_the_policy_judges_who_called_the_carrier() public {
        inbox.proposePolicy(new SinglePolicy(ACCOUNT));
        other.proposePolicy(new SinglePolicy(address(carrier)));
        vm.warp(block.timestamp + 2 days);
        Parcel[] memory parcels = pair();
        uint64 slot = parcels[0].batch.slot;
        refused(parcels, abi.encodeWithSelector(BatchInbox.NotAllowed.selector, address(this), slot));
        refused(ACCOUNT, tx.origin, parcels, abi.encodeWithSelector(BatchInbox.NotAllowed.selector, ACCOUNT, slot));
        parcels = one(parcels[0]);
        refused(parcels, abi.encodeWithSelector(BatchInbox.NotAllowed.selector, address(this), slot));
        vm.prank(ACCOUNT);
        carrier.post(parcels);
        assert(inbox.nextIndex() == 2);
    }

    function test_calldata_comes_from_a_plain_account() public {
        Parcel[] memory parcels = one(calldataParcel());
        bytes memory reason = abi.encodeWithSelector(BatchInbox.DataNotInTransaction.selector, ACCOUNT);
        refused(parcels, abi.encodeWithSelector(BatchInbox.DataNotInTransaction.selector, address(this)));
        refused(ACCOUNT, address(0xbeef), parcels, reason);
        // What an account's code is after it delegated (EIP-7702).
        vm.etch(ACCOUNT, abi.encodePacked(hex"ef0100", address(carrier)));
        refused(ACCOUNT, ACCOUNT, parcels, reason);
        vm.prank(ACCOUNT, ACCOUNT);
        vm.expectRevert(reason);
        inbox.post(parcels[0].batch, parcels[0].certificate, "the data");
        vm.etch(ACCOUNT, "");
        vm.prank(ACCOUNT, ACCOUNT);
        carrier.post(parcels);
        assert(inbox.nextIndex() == 2);
    }

    /// Blobs and directories are read from elsewhere, so a contract may post them.
    function test_the_rest_comes_from_any_account() public {
        vm.etch(ACCOUNT, abi.encodePacked(hex"ef0100", address(carrier)));
        Parcel[] memory parcels = pair();
        vm.prank(ACCOUNT, ACCOUNT);
        carrier.post(parcels);
        assert(inbox.nextIndex() == 2 && other.nextIndex() == 2);
    }
}

/// What a transaction pays itself, for its calldata, and for a call that finds every account and slot cold. Blob gas is
/// apart, and the same either way. `.gas-snapshot` counts the calls alone.
contract BatchCarrierGasTest is CarrierBase {
    bytes internal carrierCall;
    bytes internal inboxCall;
    bytes internal otherCall;

    function setUp() public {
        makeBoth();
        Parcel[] memory parcels = new Parcel[](2);
        (Parcel memory p, Parcel memory q) = (parcel(inbox, 0, 1), parcel(other, 1, 1));
        (parcels[0], parcels[1]) = (p, q);
        carrierCall = abi.encodeCall(carrier.post, (parcels));
        inboxCall = abi.encodeCall(inbox.post, (p.batch, p.certificate, ""));
        otherCall = abi.encodeCall(other.post, (q.batch, q.certificate, ""));
    }

    function gasOf(address target, bytes storage prepared, uint256 first, uint256 count)
        internal
        returns (uint256 gas)
    {
        vm.pauseGasMetering();
        bytes memory call = prepared;
        bytes32[] memory blobs = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            blobs[i] = hashes[first + i];
        }
        vm.blobhashes(blobs);
        vm.resumeGasMetering();
        (bool ok,) = target.call(call);
        vm.pauseGasMetering();
        assert(ok);
        gas = 21_000 + vm.lastCallGas().used;
        for (uint256 i; i < call.length; ++i) {
            gas += call[i] == 0 ? 4 : 16;
        }
    }

    function test_gas_of_one_batch_alone() public {
        uint256 gas = gasOf(address(inbox), inboxCall, 0, 1);
        emit Gas("one batch alone", gas);
        assert(gas < 198_000);
    }

    function test_gas_of_two_rollups_in_two_transactions() public {
        uint256 state = vm.snapshotState();
        uint256 gas = gasOf(address(inbox), inboxCall, 0, 1);
        vm.revertToState(state);
        gas += gasOf(address(other), otherCall, 1, 1);
        emit Gas("two rollups, two transactions", gas);
        assert(gas < 396_000);
    }

    function test_gas_of_two_rollups_in_one_transaction() public {
        uint256 gas = gasOf(address(carrier), carrierCall, 0, 2);
        emit Gas("two rollups, one transaction", gas);
        assert(gas < 383_000);
    }
}

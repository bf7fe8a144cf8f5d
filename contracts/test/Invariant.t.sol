// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Parcel} from "../src/BatchCarrier.sol";
import {Batch, Messages} from "../src/Messages.sol";
import {Base} from "./Base.sol";
import {BlsReadable} from "./BlsReadable.sol";

/// Posts, forces, waits and escapes in any order, and keeps a model beside the inbox.
contract Handler is Base {
    bytes32 public head;
    uint64 public index;
    uint64 public height = 1;
    bool public skipped;

    constructor() {
        make();
    }

    function postBatch(uint64 take, uint64 gap) external {
        Batch memory b = nextBatch();
        b.index += gap % 3 == 0 ? gap % 2 : 0;
        b.forcedCursor += take % 3;
        bytes32 before = inbox.head();
        try inbox.post(b, certificate(SECRET, b), "") {
            if (before != head || b.index != index || b.firstHeight != height || queue.expired(b.forcedCursor)) {
                skipped = true;
            }
            (head, index, height) = (inbox.head(), b.index + 1, b.lastHeight + 1);
        } catch {}
    }

    /// Two batches in one transaction, of which the second may be bad: then neither is there.
    function carry(uint64 take, uint64 gap) external {
        Parcel[] memory parcels = new Parcel[](2);
        bytes32 end = head;
        for (uint64 i; i < 2; ++i) {
            Parcel memory p = parcels[i];
            (p.inbox, p.batch) = (inbox, nextBatch());
            p.batch.index += i + (gap % 3 == 0 ? i * (gap % 2) : 0);
            (p.batch.firstHeight, p.batch.lastHeight) = (height + 10 * i, height + 10 * i + 9);
            p.batch.forcedCursor += i * (take % 3);
            bytes memory encoded_ = this.encoded(inbox, end, p.batch);
            p.certificate = BlsReadable.sign(SECRET, Messages.signedBatch(encoded_));
            end = Messages.head(encoded_);
        }
        try carrier.post(parcels) {
            if (parcels[1].batch.index != index + 1 || queue.expired(parcels[1].batch.forcedCursor)) skipped = true;
            (head, index, height) = (end, index + 2, height + 20);
        } catch {}
    }

    function force(bytes calldata data) external {
        try queue.force(1, data) {} catch {}
    }

    function wait_(uint32 time) external {
        vm.warp(block.timestamp + time % 3 hours);
        vm.roll(block.number + 1);
    }

    function escape(uint64 count) external {
        uint64 to = inbox.forcedCursor() + count % 4;
        bytes32 before = inbox.head();
        try inbox.escape(to) {
            if (before != head || !queue.expired(to - 1)) skipped = true;
            (head, index) = (inbox.head(), index + 1);
        } catch {}
    }

    function intact() external view returns (bool) {
        return !skipped && inbox.head() == head && inbox.nextIndex() == index && inbox.nextHeight() == height
            && inbox.forcedCursor() <= queue.length();
    }
}

contract InvariantTest {
    Handler internal handler = new Handler();

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_order_heads_and_forced_entries_are_intact() external view {
        assert(handler.intact());
    }
}

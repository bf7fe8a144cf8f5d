// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "./BatchInbox.sol";
import {Batch} from "./Messages.sol";

/// @notice One batch of a transaction that carries several.
/// @param inbox Inbox of the rollup
/// @param batch The batch
/// @param certificate The group's signature
/// @param firstBlob First of its blobs among those of the transaction
/// @param blobs How many blobs it has; zero for other kinds of data
/// @param data The data of a calldata batch, else empty
struct Parcel {
    BatchInbox inbox;
    Batch batch;
    bytes certificate;
    uint256 firstBlob;
    uint256 blobs;
    bytes data;
}

/// @title Several batches in one transaction, of one rollup or of several
/// @notice Inboxes trust it for one thing: that it posts for whoever calls it.
contract BatchCarrier {
    /// @notice There is nothing to post.
    error NoParcels();
    /// @notice Readers of L1 may not decode what is encoded in another way than the usual one.
    error NotCanonical();

    /// @notice Posts all parcels in their order, or none.
    /// @param parcels The parcels
    function post(Parcel[] calldata parcels) external {
        if (parcels.length == 0) revert NoParcels();
        if (keccak256(msg.data) != keccak256(abi.encodeCall(this.post, (parcels)))) revert NotCanonical();
        for (uint256 i; i < parcels.length; ++i) {
            Parcel calldata p = parcels[i];
            p.inbox.postFor(msg.sender, p.batch, p.certificate, p.firstBlob, p.blobs, p.data);
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice Where the data of a batch is.
/// Blobs: blobs of the transaction, the commitment is SHA-256 over their versioned hashes.
/// Calldata: the transaction, the commitment is SHA-256 of the data.
/// Directory: off chain, the commitment is what the directory says and is not checked here.
enum DataKind {
    Blobs,
    Calldata,
    Directory
}

/// @notice One batch, without what the inbox knows itself: chain, inbox, rollup and previous head.
/// @param keyGeneration Generation of the key that signed
/// @param index Number of the batch, from zero
/// @param firstHeight First block of the cluster that it covers
/// @param lastHeight Last block of the cluster that it covers
/// @param slot Slot of its last block, for the sequencing policy
/// @param orderRoot Root over the order of the transactions
/// @param dataKind Where the data is
/// @param dataCommitment Commitment to the data
/// @param forcedCursor Forced entries taken up to and including this batch
/// @param claimedStateRoot Advisory; no contract acts on it
struct Batch {
    uint32 keyGeneration;
    uint64 index;
    uint64 firstHeight;
    uint64 lastHeight;
    uint64 slot;
    bytes32 orderRoot;
    DataKind dataKind;
    bytes32 dataCommitment;
    uint64 forcedCursor;
    bytes32 claimedStateRoot;
}

/// @title Encodings of everything that a group signs for L1 (specs/9-settlement.md)
library Messages {
    /// @notice The 205 bytes of a batch.
    /// @param chainId Chain of the inbox
    /// @param inbox The inbox
    /// @param rollup Number of the rollup
    /// @param previousHead Head before the batch
    /// @param b The batch
    /// @return The encoding, without namespace
    function batch(uint64 chainId, address inbox, uint32 rollup, bytes32 previousHead, Batch calldata b)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(
            abi.encodePacked(chainId, inbox, b.keyGeneration, rollup, b.index, previousHead),
            abi.encodePacked(b.firstHeight, b.lastHeight, b.slot, b.orderRoot, uint8(b.dataKind)),
            abi.encodePacked(b.dataCommitment, b.forcedCursor, b.claimedStateRoot)
        );
    }

    /// @notice What the group signs for a batch.
    /// @param encoded The encoding of the batch
    /// @return Length of the namespace, namespace and message
    function signedBatch(bytes memory encoded) internal pure returns (bytes memory) {
        return bytes.concat(bytes1(uint8(15)), "_BATON_L1_BATCH", encoded);
    }

    /// @notice The head after a batch.
    /// @param encoded The encoding of the batch
    /// @return The head
    function head(bytes memory encoded) internal pure returns (bytes32) {
        return sha256(bytes.concat("_BATON_L1_HEAD", encoded));
    }

    /// @notice What a new key signs to prove that its group holds it.
    /// @param encoded Encoding of the generation
    /// @return Length of the namespace, namespace and message
    function signedPossession(bytes memory encoded) internal pure returns (bytes memory) {
        return bytes.concat(bytes1(uint8(20)), "_BATON_L1_POSSESSION", encoded);
    }

    /// @notice What the key in force signs to hand over to a new one.
    /// @param encoded Encoding of the generation
    /// @return Length of the namespace, namespace and message
    function signedRotation(bytes memory encoded) internal pure returns (bytes memory) {
        return bytes.concat(bytes1(uint8(18)), "_BATON_L1_ROTATION", encoded);
    }
}

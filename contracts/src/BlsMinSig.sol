// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Verification of a group signature over BLS12-381 (signatures in G1, keys in G2)
/// @notice Hashes to G1 as RFC 9380 says, with the tag of Baton's clusters, and pairs through EIP-2537.
/// The pairing precompile checks that all points lie in their subgroups.
library BlsMinSig {
    /// @notice Length of a key: four elements of 64 bytes.
    uint256 internal constant KEY_BYTES = 256;
    /// @notice Length of a signature: two coordinates of 48 bytes.
    uint256 internal constant SIGNATURE_BYTES = 96;

    /// @param length Bytes of the key; 256 are needed
    error KeyLength(uint256 length);
    /// @param length Bytes of the signature; 96 are needed
    error SignatureLength(uint256 length);

    /// @notice Whether `sig` is the signature of `message` under `key`. An invalid point burns the gas that the
    /// pairing is given, so that is capped: 102,900 is what it takes, the rest is slack for repricing.
    /// @dev The caller must have refused the key at infinity, under which the signature at infinity verifies.
    /// @param key The key, in the encoding of EIP-2537
    /// @param message What was signed, with its namespace
    /// @param sig The signature, x and y of 48 bytes each
    /// @return ok Whether it verifies
    function verify(bytes memory key, bytes memory message, bytes calldata sig) internal view returns (bool ok) {
        if (key.length != KEY_BYTES) revert KeyLength(key.length);
        if (sig.length != SIGNATURE_BYTES) revert SignatureLength(sig.length);
        assembly ("memory-safe") {
            function sha(from, size, to) {
                if iszero(staticcall(gas(), 2, from, size, to, 0x20)) { revert(0, 0) }
            }
            function reduce(scratch, element) {
                mcopy(add(scratch, 0x60), element, 0x40)
                if iszero(staticcall(gas(), 5, scratch, 0x100, element, 0x40)) { revert(0, 0) }
            }
            let b := mload(0x40) // the 128 expanded bytes
            let s := add(b, 0x80)
            // expand_message_xmd: Z_pad ‖ message ‖ 0x0080 ‖ 0x00 ‖ tag ‖ its length
            calldatacopy(s, calldatasize(), 0x40)
            let length := mload(message)
            mcopy(add(s, 0x40), add(message, 0x20), length)
            let o := add(add(s, 0x40), length)
            mstore(o, shl(232, 0x008000))
            mstore(add(o, 3), "BLS_SIG_BLS12381G1_XMD:SHA-256_S")
            mstore(add(o, 35), "SWU_RO_POP_\x2b")
            sha(s, sub(add(o, 47), s), 0x00)
            let b0 := mload(0x00)
            mstore(s, b0)
            mstore8(add(s, 0x20), 1)
            mstore(add(s, 0x21), "BLS_SIG_BLS12381G1_XMD:SHA-256_S")
            mstore(add(s, 0x41), "SWU_RO_POP_\x2b")
            sha(s, 0x4d, b)
            for { let i := 2 } lt(i, 5) { i := add(i, 1) } {
                let previous := add(b, shl(5, sub(i, 2)))
                mstore(s, xor(b0, mload(previous)))
                mstore8(add(s, 0x20), i)
                sha(s, 0x4d, add(previous, 0x20))
            }
            // Two field elements: 64 bytes to the power of one, modulo p.
            mstore(s, 0x40)
            mstore(add(s, 0x20), 0x20)
            mstore(add(s, 0x40), 0x40)
            mstore(add(s, 0xa0), 1)
            mstore(add(s, 0xc0), 0x000000000000000000000000000000001a0111ea397fe69a4b1ba7b6434bacd7)
            mstore(add(s, 0xe0), 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab)
            reduce(s, b)
            reduce(s, add(b, 0x40))
            // Pairing: signature (0x80) ‖ -G2 (0x100) ‖ hash (0x80) ‖ key (0x100).
            let h := add(s, 0x180)
            if iszero(staticcall(gas(), 0x10, b, 0x40, h, 0x80)) { revert(0, 0) }
            if iszero(staticcall(gas(), 0x10, add(b, 0x40), 0x40, add(h, 0x80), 0x80)) { revert(0, 0) }
            if iszero(staticcall(gas(), 0x0b, h, 0x100, h, 0x80)) { revert(0, 0) }
            mcopy(add(h, 0x80), add(key, 0x20), 0x100)
            mstore(s, 0)
            mstore(add(s, 0x40), 0)
            calldatacopy(add(s, 0x10), sig.offset, 0x30)
            calldatacopy(add(s, 0x50), add(sig.offset, 0x30), 0x30)
            mstore(add(s, 0x80), 0x00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051)
            mstore(add(s, 0xa0), 0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8)
            mstore(add(s, 0xc0), 0x0000000000000000000000000000000013e02b6052719f607dacd3a088274f65)
            mstore(add(s, 0xe0), 0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e)
            mstore(add(s, 0x100), 0x000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bc)
            mstore(add(s, 0x120), 0xb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa)
            mstore(add(s, 0x140), 0x0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d)
            mstore(add(s, 0x160), 0x993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed)
            mstore(0x00, 0)
            ok := staticcall(120000, 0x0f, s, 0x300, 0x00, 0x20)
            ok := and(ok, eq(mload(0x00), 1))
        }
    }
}

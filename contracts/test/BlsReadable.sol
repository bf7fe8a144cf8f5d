// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// The verifier written to be read, as the oracle for BlsMinSig; and a signer for tests.
library BlsReadable {
    bytes internal constant TAG = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    bytes internal constant P =
        hex"1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab";
    bytes internal constant NEG_G2 =
        hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb80000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bcb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed";
    uint256 internal constant ORDER = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

    error Precompile(uint160 precompile);

    function run(uint160 precompile, bytes memory input) internal view returns (bytes memory output) {
        bool ok;
        (ok, output) = address(precompile).staticcall(input);
        if (!ok || output.length == 0) revert Precompile(precompile);
    }

    function field(bytes32 high, bytes32 low) internal view returns (bytes memory) {
        bytes memory input = abi.encodePacked(uint256(64), uint256(1), uint256(48), high, low, uint8(1), P);
        return abi.encodePacked(bytes16(0), run(5, input));
    }

    function hashToG1(bytes memory message) internal view returns (bytes memory) {
        bytes memory tag = abi.encodePacked(TAG, uint8(TAG.length));
        bytes32 b0 = sha256(abi.encodePacked(new bytes(64), message, uint16(128), uint8(0), tag));
        bytes32[4] memory b;
        b[0] = sha256(abi.encodePacked(b0, uint8(1), tag));
        for (uint256 i = 1; i < 4; i++) {
            b[i] = sha256(abi.encodePacked(b0 ^ b[i - 1], uint8(i + 1), tag));
        }
        return run(0x0b, abi.encodePacked(run(0x10, field(b[0], b[1])), run(0x10, field(b[2], b[3]))));
    }

    function verify(bytes memory key, bytes memory message, bytes memory signature) internal view returns (bool) {
        return abi.decode(run(0x0f, abi.encodePacked(signature, NEG_G2, hashToG1(message), key)), (bool));
    }

    function publicKey(uint256 secret) internal view returns (bytes memory) {
        return run(0x0e, abi.encodePacked(NEG_G2, ORDER - secret));
    }

    /// 96 bytes: x and y.
    function sign(uint256 secret, bytes memory message) internal view returns (bytes memory flat) {
        return flatten(run(0x0c, abi.encodePacked(hashToG1(message), secret)));
    }

    function flatten(bytes memory point) internal pure returns (bytes memory flat) {
        flat = new bytes(96);
        for (uint256 i; i < 48; i++) {
            (flat[i], flat[i + 48]) = (point[i + 16], point[i + 80]);
        }
    }

    function pad(bytes memory flat) internal pure returns (bytes memory point) {
        point = new bytes(128);
        for (uint256 i; i < 48; i++) {
            (point[i + 16], point[i + 80]) = (flat[i], flat[i + 48]);
        }
    }
}

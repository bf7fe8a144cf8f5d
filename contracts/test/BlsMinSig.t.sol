// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BlsMinSig} from "../src/BlsMinSig.sol";
import {Batch, DataKind, Messages} from "../src/Messages.sol";
import {Base} from "./Base.sol";
import {BlsReadable} from "./BlsReadable.sol";

/// The verifier and its oracle, each behind a call.
contract Verifiers {
    function assembly_(bytes memory key, bytes memory message, bytes calldata sig) external view returns (bool) {
        return BlsMinSig.verify(key, message, sig);
    }

    function readable(bytes memory key, bytes memory message, bytes calldata sig) external view returns (bool) {
        return BlsReadable.verify(key, message, BlsReadable.pad(sig));
    }
}

contract BlsMinSigTest is Base, Verifiers {
    function encode(bytes32 previous, Batch calldata b) external pure returns (bytes memory) {
        return Messages.batch(31_337, address(bytes20(hex"1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b")), 7, previous, b);
    }

    function test_vectors_of_the_nodes_verify_and_encode_alike() public view {
        string memory json = vm.readFile("../specs/vectors/batch.json");
        bytes memory key = vm.parseJsonBytes(json, ".group_key_evm");
        string[3] memory cases = [".cases[0]", ".cases[1]", ".cases[2]"];
        for (uint8 i; i < 3; i++) {
            Batch memory b = Batch(
                3, 0x01020304, 1001, 1100, 0x00112233, sha256(hex"02"), DataKind(i), sha256(hex"03"), 5, sha256(hex"04")
            );
            bytes memory message = this.encode(sha256(hex"01"), b);
            assert(keccak256(message) == keccak256(vm.parseJsonBytes(json, string.concat(cases[i], ".message"))));
            assert(Messages.head(message) == vm.parseJsonBytes32(json, string.concat(cases[i], ".head")));
            bytes memory signed = Messages.signedBatch(message);
            assert(keccak256(signed) == keccak256(vm.parseJsonBytes(json, string.concat(cases[i], ".signed"))));
            bytes memory sig = vm.parseJsonBytes(json, string.concat(cases[i], ".signature_flat"));
            assert(this.assembly_(key, signed, sig));
            assert(this.readable(key, signed, sig));
            // The same message in another namespace.
            assert(!this.assembly_(key, Messages.signedRotation(message), sig));
        }
    }

    function testFuzz_both_versions_agree(bytes memory message, uint128 secret, bool right) public view {
        uint256 key = uint256(secret) + 1;
        bytes memory sig = BlsReadable.sign(right ? key : key + 1, message);
        bytes memory public_ = BlsReadable.publicKey(key);
        assert(this.assembly_(public_, message, sig) == right);
        assert(this.readable(public_, message, sig) == right);
    }

    function test_invalid_points_are_refused_at_a_bounded_cost() public view {
        bytes memory key = BlsReadable.publicKey(SECRET);
        bytes memory identity = new bytes(96);
        bytes memory offCurve = new bytes(96);
        offCurve[95] = 0x01;
        // x = 4: on the curve, outside the subgroup.
        bytes memory offSubgroup =
            hex"0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000040a989badd40d6212b33cffc3f3763e9bc760f988c9926b26da9dd85e928483446346b8ed00e1de5d5ea93e354abe706c";
        bytes[3] memory signatures = [identity, offCurve, offSubgroup];
        for (uint256 i; i < 3; i++) {
            uint256 gas = gasleft();
            assert(!this.assembly_(key, "message", signatures[i]));
            assert(gas - gasleft() < 200_000);
        }
        // It is on the curve: only the subgroup is at fault.
        BlsReadable.run(0x0b, bytes.concat(BlsReadable.pad(offSubgroup), BlsReadable.pad(offSubgroup)));
    }

    function test_lengths_are_checked_first() public {
        bytes memory key = BlsReadable.publicKey(SECRET);
        uint16[4] memory lengths = [uint16(0), 255, 257, 512];
        for (uint256 i; i < 4; i++) {
            vm.expectRevert(abi.encodeWithSelector(BlsMinSig.KeyLength.selector, lengths[i]));
            this.assembly_(new bytes(lengths[i]), "message", new bytes(96));
        }
        lengths = [uint16(0), 95, 97, 128];
        for (uint256 i; i < 4; i++) {
            vm.expectRevert(abi.encodeWithSelector(BlsMinSig.SignatureLength.selector, lengths[i]));
            this.assembly_(key, "message", new bytes(lengths[i]));
        }
    }
}

/// What each of the two takes for one batch, apart in `.gas-snapshot`: nothing else is counted.
contract BlsGasTest is Base {
    event Gas(string what, uint256 gas);

    bytes internal key = BlsReadable.publicKey(SECRET);
    bytes internal message = new bytes(221);
    bytes internal sig = BlsReadable.sign(SECRET, new bytes(221));
    Verifiers internal verifiers = new Verifiers();

    function taken(bytes memory call) internal returns (uint256) {
        vm.resumeGasMetering();
        (bool ok, bytes memory answer) = address(verifiers).call(call);
        vm.pauseGasMetering();
        assert(ok && abi.decode(answer, (bool)));
        return vm.lastCallGas().used;
    }

    function test_gas_of_assembly() public {
        vm.pauseGasMetering();
        uint256 gas = taken(abi.encodeCall(Verifiers.assembly_, (key, message, sig)));
        emit Gas("assembly", gas);
        assert(gas < 125_000);
    }

    function test_gas_of_readable() public {
        vm.pauseGasMetering();
        emit Gas("readable", taken(abi.encodeCall(Verifiers.readable, (key, message, sig))));
    }
}

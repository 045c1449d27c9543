"""The contract, sentence by sentence, through real sockets on a real server process."""

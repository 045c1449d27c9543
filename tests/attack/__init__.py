"""Attacks on a running server, and what came of them: `make attack`.

__main__     the command: options, a server of its own where none is named, the table
running      one attack after the other, each within its time
results      what an attack found: held, broken, or not tried and why
target       the server that is attacked, its users, HTTP and bare sockets
own_server   a server with a provider simulator, a database and a log that can be looked at
framing, log_ins, names, library, workbench, providers, secrets
             the attacks, a family each; one that could not be carried out never counts as held
"""

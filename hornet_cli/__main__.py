import signal

# Until main() listens to signals: a start that is interrupted ends at once, without a traceback. Nothing is made yet.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from hornet_cli.main import main

main()

from hornet_cli.app import main

main()

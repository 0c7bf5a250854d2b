from hornet_cli.main import main

main()

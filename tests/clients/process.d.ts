// All that the flow needs of Node.
declare const process: { argv: string[] };

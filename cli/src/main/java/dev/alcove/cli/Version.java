// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import picocli.CommandLine;

/** What {@code --version} prints. */
final class Version implements CommandLine.IVersionProvider {
    @Override
    public String[] getVersion() {
        String version = Alcove.class.getPackage().getImplementationVersion();
        return new String[] {
            "alcove " + (version == null ? "(from class files)" : version),
            "JDK " + Runtime.version() + ", " + System.getProperty("os.name") + " " + System.getProperty("os.version")
        };
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

/** The layering of the modules: an arrow may only point down, and the emulated kernel stands beside the stack. */
class ArchitectureTest {
    private static final String ALCOVE = "dev.alcove..";
    private static final String SYS = "dev.alcove.sys..";
    private static final String BINDINGS = "dev.alcove.bindings..";
    private static final String DISCARD = "dev.alcove.discard..";
    private static final String KVM = "dev.alcove.kvm..";
    private static final String IOMMUFD = "dev.alcove.iommufd..";
    private static final String VFIO = "dev.alcove.vfio..";
    private static final String MEMORY = "dev.alcove.memory..";
    private static final String VMM = "dev.alcove.vmm..";
    private static final String CPU = "dev.alcove.cpu..";
    private static final String KERNEL = "dev.alcove.kernel..";
    private static final String IMAGES = "dev.alcove.images..";
    private static final String CONTRACT = "dev.alcove.contract..";
    private static final String EXPLORE = "dev.alcove.explore..";
    private static final String CLI = "dev.alcove.cli..";

    private static JavaClasses all = new ClassFileImporter().importPackages("dev.alcove.none");

    @BeforeAll
    static void read() {
        all = new ClassFileImporter()
                .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
                .importPackages("dev.alcove");
    }

    /** Classes of a module may use these modules of ours, and no other. */
    private static void mayUse(String module, String... others) {
        DescribedPredicate<JavaClass> ours = resideInAPackage(ALCOVE);
        DescribedPredicate<JavaClass> foreign = ours.and(DescribedPredicate.not(
                resideInAPackage(module).or(resideInAnyPackage(others))));
        noClasses().that().resideInAPackage(module).should().dependOnClassesThat(foreign).check(all);
    }

    @Test
    void dependenciesPointDown() {
        mayUse(SYS, BINDINGS);
        mayUse(DISCARD);
        mayUse(KVM, SYS, BINDINGS);
        mayUse(IOMMUFD, SYS, BINDINGS);
        mayUse(VFIO, IOMMUFD, DISCARD, SYS, BINDINGS);
        mayUse(MEMORY, KVM, DISCARD, SYS, BINDINGS);
        mayUse(VMM, VFIO, MEMORY, KVM, IOMMUFD, DISCARD, SYS, BINDINGS);
        mayUse(CPU);
        mayUse(KERNEL, CPU, SYS, BINDINGS);
        mayUse(IMAGES);
        mayUse(CONTRACT, SYS, BINDINGS);
        mayUse(EXPLORE, VMM, VFIO, MEMORY, KVM, IOMMUFD, DISCARD, KERNEL, SYS, BINDINGS);
    }

    @Test
    void onlyTheCommandAndExploreKnowTheEmulatedKernel() {
        classes()
                .that()
                .resideInAPackage(KERNEL)
                .should()
                .onlyHaveDependentClassesThat()
                .resideInAnyPackage(KERNEL, EXPLORE, CLI, "dev.alcove.bench..")
                .check(all);
    }

    @Test
    void onlyTheSeamLinksNatively() {
        noClasses()
                .that()
                .resideOutsideOfPackage(SYS)
                .and()
                .resideOutsideOfPackage(BINDINGS)
                .should()
                .dependOnClassesThat()
                .areAssignableTo("java.lang.foreign.Linker")
                .orShould()
                .dependOnClassesThat()
                .areAssignableTo("java.lang.foreign.SymbolLookup")
                .check(all);
    }

    @Test
    void jnrIsInOneClass() {
        noClasses()
                .that()
                .doNotHaveFullyQualifiedName("dev.alcove.sys.PosixProcess")
                .and()
                .doNotHaveFullyQualifiedName("dev.alcove.sys.Errno")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("jnr..", "com.kenai.jffi..")
                .check(all);
    }

    @Test
    void onlyMainEndsTheJvm() {
        noClasses()
                .that()
                .doNotHaveFullyQualifiedName(Alcove.class.getName())
                .should()
                .callMethod(System.class, "exit", int.class)
                .orShould()
                .callMethod(Runtime.class, "exit", int.class)
                .orShould()
                .callMethod(Runtime.class, "halt", int.class)
                .check(all);
    }
}
